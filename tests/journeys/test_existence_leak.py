"""Whoever may not see a model or a provider gets what a gateway tells that never heard of it.

Two gateways: in one the records are there, their team uses them, and blue may not see them; in the
other they were never declared. Every answer to blue is compared byte for byte, but for ids and
times that are made up for each request.

Timing: hidden and absent are asked of one gateway in turns, over one connection, so that whatever
else the machine does meets both alike. If the two were told apart by a query, a call upstream or a
check of its own, one would be slower as a rule, not by chance: the ranks of their times are summed
(Mann and Whitney), which no outlier moves. With no difference |z| exceeds the bound once in two
million runs; a difference of one standard deviation gives |z| of 7.
"""

from __future__ import annotations

import json
import math
import re
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import httpx2
import pytest

from spindle_conformance.upstreams.server import Play, ScriptedServer, Seen
from spindle_conformance.upstreams.simulators import SIMULATORS, serving
from tests.support.spindle_process import SpindleProcess, running_spindle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import Json, JsonObject

HIDDEN = ("up~secret", "vault~plain")
ALIAS = "sec"
BOUND = 5.0
ROUNDS = 150
SAID: list[Json] = [{"role": "user", "content": "hi"}]
_MADE_UP = re.compile(
    r"req_[0-9a-zA-Z]+|pm_[0-9a-f]+_[0-9a-f]+|(?:resp|msg|rs|fc|chatcmpl)[_-][0-9a-zA-Z]+"
    r"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}"
)
_TIMES = re.compile(
    r'"(\w*(?:ms|_at|at|cursor|created|time|latency|score|age)\w*)": ?(?:-?[\d.e-]+|"[^"]*")'
)


@dataclass(frozen=True, slots=True)
class Side:
    """One gateway with a token of each team, and what red left there."""

    process: SpindleProcess
    red: str
    blue: httpx2.AsyncClient
    route: str
    """Of a call of red's."""
    response: str
    """Of red's, kept."""

    async def ask(self, method: str, path: str, body: Json = None, **headers: str) -> Told:
        """Ask as blue."""
        filled = path.replace("<route>", self.route).replace("<response>", self.response)
        text = json.dumps(body).replace("<response>", self.response)

        response = await self.blue.request(
            method,
            filled,
            content=b"" if body is None else text.encode(),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        return self.told(response)

    def told(self, response: httpx2.Response) -> Told:
        """Return an answer without what is made up for it."""
        left_out = ("date", "openai-processing-ms", "content-length")
        headers = {
            name: _MADE_UP.sub("ID", value)
            for name, value in response.headers.items()
            if name not in left_out
        }
        text = response.text.replace(self.route, "ROUTE").replace(self.response, "RESPONSE")
        return response.status_code, headers, _TIMES.sub(r'"\1":0', _MADE_UP.sub("ID", text))


Told = tuple[int, dict[str, str], str]


@dataclass(frozen=True, slots=True)
class Pair:
    """The gateway in which the records are hidden, and the one in which they are not."""

    hidden: Side
    absent: Side


def _configuration(url: str, *, declared: bool) -> JsonObject:
    team: JsonObject = {"visibility": "team", "team": "red"}
    failing: JsonObject = {"name": "error-500"}
    models: list[Json] = [{"name": "plain"}, {"name": "echo"}, failing]
    up: JsonObject = {"provider_type": "openai", "urls": [f"{url}/v1"], "models": models}
    services: JsonObject = {"up": up}

    if declared:
        failing["fallbacks"] = ["up~secret", "vault~plain"]
        models.append({"name": "secret", "aliases": [ALIAS], **team})
        hidden: list[Json] = [{"name": "plain"}, {"name": "embed"}]
        vault: JsonObject = {**up, "models": hidden, **team}
        services["vault"] = vault
        up["fallbacks"] = ["vault"]

    return {"llm": {"services": services, "discover_local": False}, "usage": {"flush_seconds": 0}}


async def _token(process: SpindleProcess, team: str) -> str:
    async with process.client() as client:
        made = await client.post(
            "/admin/api/v1/tokens", json={"name": team, "role": "developer", "teams": [team]}
        )

    assert made.status_code == 201, made.text
    return str(made.json()["token"])


async def _used(process: SpindleProcess, token: str, kept_of: str, *names: str) -> tuple[str, str]:
    """Let red use its models; return the ids of a route and of a kept response."""
    routes: list[str] = []

    async with process.client(token) as client:
        for name in names:
            for stream in (False, True):
                chat = _chat(name, stream=stream)
                answer = await client.post("/v1/chat/completions", json=chat)
                assert answer.status_code == 200, answer.text
                routes.append(answer.headers["x-spindle-route"])

        kept = await client.post("/v1/responses", json={"model": kept_of, "input": "hi"})
        assert kept.status_code == 200, kept.text

    return routes[-1], kept.json()["id"]


def _upstream(seen: Seen) -> Play:
    """Answer as OpenAI does; its secret model is like the plain one."""
    body = seen.body.replace(b'"secret"', b'"plain"')
    return SIMULATORS["openai"](key=None, quirks=set()).answer(replace(seen, body=body))


@pytest.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Pair]:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(ScriptedServer(handler=_upstream)))
        sides: list[Side] = []

        for declared in (True, False):
            process = await stack.enter_async_context(
                running_spindle(
                    _configuration(url, declared=declared),
                    home=tmp_path_factory.mktemp("declared" if declared else "absent"),
                )
            )
            red, token = await _token(process, "red"), await _token(process, "blue")
            blue = await stack.enter_async_context(process.client(token))
            # What is in sight is used as often on both sides.
            names = ("up~secret", *HIDDEN) if declared else ("up~plain", "up~plain")
            sides.append(Side(process, red, blue, *await _used(process, red, *names)))

        yield Pair(*sides)


def _chat(model: str, **more: Json) -> JsonObject:
    return {"model": model, "messages": SAID, **more}


def _asked() -> dict[str, tuple[str, str, Json, dict[str, str]]]:
    """Return every question that could tell, by its name."""
    rows: dict[str, tuple[str, str, Json, dict[str, str]]] = {}

    def row(name: str, method: str, path: str, body: Json = None, **headers: str) -> None:
        rows[name] = (method, path, body, headers)

    for path in (
        *("/v1/models", "/models", "/llm/models", "/llm/providers", "/llm/services"),
        *("/llm/models/up~error-500", "/llm/providers/up", "/admin/api/v1/models"),
        *("/admin/api/v1/providers", "/admin/api/v1/models/up~error-500"),
        *("/llm/providers/health", "/llm/providers/up/health", "/llm/services/up/models"),
        *("/usage", "/usage?by=model,provider", "/usage/records", "/metrics"),
        *("/usage?model=up~secret", "/usage?provider=vault", "/usage/records?model=vault~plain"),
        *("/llm/routes/<route>", "/v1/responses/<response>"),
        "/v1/responses/<response>/input_items",
        *("/llm/providers/vault", "/llm/providers/vault/health", "/llm/services/vault"),
        *("/llm/services/vault/models", "/llm/services/vault/models/plain"),
        *("/llm/services/vault/ping", "/llm/services/vault/capabilities"),
        *("/llm/services/up/models/secret", "/llm/models/up~secret", f"/llm/models/{ALIAS}"),
        *("/v1/models/up~secret", "/v1/models/vault~plain", f"/v1/models/{ALIAS}"),
    ):
        row(f"GET {path}", "GET", path)

    for path in ("/v1/models", "/v1/models/up~secret", "/v1/models/vault~plain"):
        row(f"GET {path} of Anthropic's", "GET", path, anthropic_version="2023-06-01")

    for name in (*HIDDEN, ALIAS, "vault~embed", "secret"):
        for stream in (False, True):
            how = f"{name}{' streamed' if stream else ''}"
            row(f"chat {how}", "POST", "/v1/chat/completions", _chat(name, stream=stream))
            message = _chat(name, max_tokens=9, stream=stream)
            row(f"message {how}", "POST", "/v1/messages", message)
            response: JsonObject = {"model": name, "input": "hi", "stream": stream}
            row(f"response {how}", "POST", "/v1/responses", response)

        row(f"embed {name}", "POST", "/v1/embeddings", {"model": name, "input": "hi"})
        row(f"count {name}", "POST", "/v1/messages/count_tokens", _chat(name))

    for stream in (False, True):
        failing = _chat("up~error-500", stream=stream)
        row(f"chain, {stream}", "POST", "/v1/chat/completions", failing)

    going_on: JsonObject = {
        "model": "up~plain",
        "input": "x",
        "previous_response_id": "<response>",
    }
    row("going on", "POST", "/v1/responses", going_on)
    row("delete", "DELETE", "/v1/responses/<response>")
    row("cancel", "POST", "/v1/responses/<response>/cancel")
    return rows


ASKED = _asked()


@pytest.mark.parametrize("name", ASKED)
async def test_a_hidden_record_is_told_of_like_one_that_never_was(pair: Pair, name: str) -> None:
    """Status, headers and body are the same."""
    method, path, body, headers = ASKED[name]
    hidden = await pair.hidden.ask(method, path, body, **headers)
    assert hidden == await pair.absent.ask(method, path, body, **headers)
    answer = hidden[2].replace(path, "").replace(json.dumps(path)[1:-1], "")
    is_named = any(word in json.dumps(body) + path for word in ("secret", "vault", ALIAS))
    assert is_named or not any(word in answer for word in ("secret", "vault"))


async def test_who_governs_the_platform_reads_chains_as_they_are(pair: Pair) -> None:
    """Nothing is hidden from them, so nothing is left out."""
    async with pair.hidden.process.client() as client:
        shown = await client.get("/llm/models/up~error-500")

    assert shown.json()["fallbacks"] == [*HIDDEN]


async def test_what_a_caller_is_told_of_a_chain_ends_before_what_is_hidden(pair: Pair) -> None:
    """The record of its route and its rows of usage name no candidate that it may not see."""
    told: list[list[Told]] = []

    for side in (pair.hidden, pair.absent):
        failed = await side.blue.post("/v1/chat/completions", json=_chat("up~error-500"))
        assert failed.status_code == 502
        route = await side.blue.get(f"/llm/routes/{failed.headers['x-spindle-route']}")
        assert route.status_code == 200
        rows = await side.blue.get("/usage/records?limit=1")
        told.append([side.told(route), side.told(rows)])

    assert told[0] == told[1]
    assert "secret" not in repr(told)
    assert "vault" not in repr(told)


async def test_their_own_team_sees_all_of_it(pair: Pair) -> None:
    """So what blue did not see was there to be seen."""
    side = pair.hidden

    async with side.process.client(side.red) as client:
        listed = await client.get("/v1/models")
        health = await client.get("/llm/providers/health")
        route = await client.get(f"/llm/routes/{side.route}")
        answered = await client.post("/v1/chat/completions", json=_chat("up~error-500"))

    assert all(name in listed.text for name in HIDDEN)
    assert "vault" in health.text
    assert (route.status_code, answered.status_code) == (200, 200)


TIMED = {
    "chat": ("POST", "/v1/chat/completions", "up~secret", "up~absent"),
    "message": ("POST", "/v1/messages", "up~secret", "up~absent"),
    "model": ("GET", "/v1/models/{}", "up~secret", "up~absent"),
    "health": ("GET", "/llm/providers/{}/health", "vault", "vuult"),
    "service": ("GET", "/llm/services/{}/models", "vault", "vuult"),
    "route": ("GET", "/llm/routes/{}", "<route>", "<other>"),
}


@pytest.mark.parametrize("name", TIMED)
async def test_a_hidden_record_takes_as_long_as_one_that_never_was(pair: Pair, name: str) -> None:
    """The times of both are of one kind, whichever was asked first."""
    method, path, *pair_of_names = TIMED[name]
    side = pair.hidden
    other = "".join("0" if letter.isalnum() else letter for letter in side.route)
    asked = [
        word.replace("<route>", side.route).replace("<other>", other) for word in pair_of_names
    ]
    times: tuple[list[float], list[float]] = ([], [])

    for number in range(ROUNDS):
        for which in (0, 1) if number % 2 else (1, 0):
            word = asked[which]
            body = None if method == "GET" else _chat(word, max_tokens=9)
            started = time.perf_counter()
            answer = await side.blue.request(method, path.format(word), json=body)
            times[which].append(time.perf_counter() - started)
            assert answer.status_code == 404

    # The first few make connections and fill caches.
    assert abs(_rank_sum_z(times[0][10:], times[1][10:])) < BOUND


def _rank_sum_z(one: list[float], other: list[float]) -> float:
    """Return how far the ranks of one sample are from those of chance, in standard deviations."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    total = sum(rank for rank, (_, which) in enumerate(ranked, start=1) if which == 0)
    size, both = len(one), len(one) + len(other)
    mean = size * (both + 1) / 2
    return (total - mean) / math.sqrt(size * len(other) * (both + 1) / 12)


def test_the_statistic_tells_a_difference_from_none() -> None:
    """Equal samples are within the bound, a shift of one deviation is far beyond it."""
    normal = NormalDist()
    one, other = normal.samples(140, seed=1), normal.samples(140, seed=2)
    assert abs(_rank_sum_z(one, other)) < BOUND
    assert abs(_rank_sum_z(one, [value + 1.0 for value in other])) > BOUND
