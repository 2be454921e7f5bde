"""The error matrix: each failure of each vendor on each surface, before the first byte and after.

One table says what a failure is for whoever asks; only how it is written differs by surface.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pytest

from spindle_conformance.upstreams.faults import RETRY_BOTH, SECRET_TEXT
from spindle_conformance.upstreams.server import Play, Seen
from spindle_conformance.upstreams.simulators import SIMULATORS
from spindle_llm.providers.registry import adapters
from spindle_spi.admission import Status
from spindle_spi.records import ProviderSpec
from spindle_spi.secret import SecretRef
from tests.llm.support.gateway import Gateway, gateway
from tests.llm.support.records import model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spindle_spi.types import Json, JsonObject
    from tests.llm.support.gateway import Client

pytestmark = pytest.mark.anyio

KEY = "our-own-key-0123456789-of-this-gateway"
SECRETS = (*SECRET_TEXT.removeprefix("key ").split(" of "), KEY)
"""What nobody outside may ever read."""
WORDS = (*SECRETS, "own words", "<html", "connect error", "rejected as a result")
"""What nobody reads whose own request is not what is wrong."""
RETRIES = 2
PATIENT: Final[JsonObject] = {
    "routing": {
        "backoff_seconds": 0.001,
        "longest_wait_seconds": 0.1,
        "breaker": {"failures": 1_000_000, "ratio_calls": 1_000_000},
    }
}
"""No failure concerns the next one, and nobody waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a failure is."""

    status: int
    code: str | None
    """In OpenAI's spelling; None is the vendor's own."""
    attempts: int = 1
    """Of a provider that may be asked twice again."""
    again: bool | None = None
    """Whether a client may ask again; None where that goes without saying."""
    wait_ms: int | None = None
    """What it is told to wait."""
    surfaces: frozenset[str] = frozenset({"chat", "messages", "responses", "embeddings"})
    whole_code: str | None = None
    """Its code in a whole answer, where that is another one."""


def _row(status: int, code: str | None, attempts: int = 1, *, again: bool | None = None) -> Row:
    return Row(status=status, code=code, attempts=attempts, again=again)


_RATE = "rate_limit_exceeded"
_CHATS = frozenset({"chat", "messages", "responses"})

BEFORE: Final[dict[str, Row]] = {
    "error-400": _row(400, None),
    "error-422": _row(400, None),
    "error-context": _row(400, "context_length_exceeded"),
    "error-401": _row(502, "upstream_auth", again=False),
    "error-403": _row(502, "upstream_auth", again=False),
    "error-key": _row(502, "upstream_auth", again=False),
    "error-402": _row(429, "insufficient_quota", again=False),
    "error-quota": _row(429, "insufficient_quota", again=False),
    "error-404": _row(502, "upstream_model_missing", again=False),
    "error-408": _row(504, "upstream_timeout", 3, again=True),
    "error-418": _row(502, "upstream_refused", again=False),
    "error-rate": replace(_row(429, _RATE, again=True), wait_ms=1500),
    "error-rate-seconds": replace(_row(429, _RATE, again=True), wait_ms=2000),
    "error-rate-ms": replace(_row(429, _RATE, again=True), wait_ms=1500),
    "error-rate-long": replace(_row(429, _RATE, again=False), wait_ms=3_600_000),
    "error-rate-date": _row(429, _RATE, again=False),
    "rate-soon": replace(_row(429, _RATE, 3, again=True), wait_ms=1),
    "vendor-1302": _row(429, _RATE, 3, again=True),
    "error-500": _row(502, "upstream_error", 2, again=True),
    "no-body-500": _row(502, "upstream_error", 2, again=True),
    "error-502": _row(503, "upstream_unreachable", 3, again=True),
    "html-502": _row(503, "upstream_unreachable", 3, again=True),
    "error-503": _row(503, "upstream_overloaded", 3, again=True),
    "text-503": _row(503, "upstream_overloaded", 3, again=True),
    "error-overloaded": _row(503, "upstream_overloaded", 3, again=True),
    "error-504": _row(504, "upstream_timeout", 2, again=True),
    "error-529": _row(503, "upstream_overloaded", 3, again=True),
    "html": _row(502, "upstream_garbage", 2, again=True),
    "cut-before": _row(502, "upstream_closed", 3, again=True),
    "cut-head": replace(_row(502, "upstream_cut", 2, again=True), surfaces=_CHATS),
    "error-first": replace(_row(502, "upstream_error", 2, again=True), surfaces=_CHATS),
}
"""Before the first byte: a real status, by the name of the model that fails so."""

_FAILED = _row(502, "upstream_error", 3, again=True)
_FIRST = BEFORE["error-first"]

OWN: Final[dict[str, dict[str, Row | None]]] = {
    "gpt4all": {
        # A failure of its engine has no body, and nothing is a stream.
        "error-context": replace(_FAILED, attempts=2),
        "error-first": replace(_FIRST, code="upstream_garbage"),
    },
    "cortexso": {
        # Nearly all that goes wrong has status 400 there: that tells nothing of the request.
        **dict.fromkeys(("error-400", "error-overloaded", "rate-soon"), _FAILED),
        **dict.fromkeys((name for name in BEFORE if name.startswith("error-rate")), _FAILED),
        "error-first": replace(_FIRST, whole_code="upstream_garbage"),
    },
    "jan": {"error-first": replace(_FIRST, whole_code="upstream_garbage")},
}
"""What a vendor says in a way of its own. None: it does not say that."""

for _kind in ("ollama", "lm_studio", "jan", "gpt4all", "localai", "cortexso"):
    # Nobody pays there.
    OWN.setdefault(_kind, {})["error-quota"] = None

INSIDE: Final[dict[str, str]] = {
    "cut": "upstream_cut",
    "cut-clean": "upstream_cut",
    "in-stream-error": "upstream_error",
}
"""Inside a stream: an error as its last event, and nobody is asked again."""

VENDORS: Final[dict[str, tuple[str, Mapping[str, Json]]]] = {
    **{kind: (kind, {}) for kind in SIMULATORS},
    "ollama native": ("ollama", {"keep_alive": "5m"}),
    "openai_compatible": ("openai", {}),
}
"""Every way in which an upstream is spoken to: its simulator, and what its record sets."""

SURFACES: Final[dict[str, tuple[str, JsonObject]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100},
    ),
    "responses": ("/v1/responses", {"input": "hi", "store": False, "max_output_tokens": 100}),
    "embeddings": ("/v1/embeddings", {"input": "hi"}),
}


def test_no_adapter_is_missing() -> None:
    """Every provider type of the registry has its lines here; mock and LiteLLM have no wire."""
    kinds = {name.partition(" ")[0] for name in VENDORS}
    assert kinds == set(adapters()) - {"litellm", "mock"}


def _simulated(kind: str) -> Callable[[Seen], Play]:
    """Return a vendor's simulator, with failures that no vendor's dialect has a name for."""
    made = SIMULATORS[kind](key=KEY, quirks=set())

    def play(seen: Seen) -> Play:
        if _asks_for(seen, "rate-soon"):
            limited = made.answer(_renamed(seen, "rate-soon", "error-rate"))
            kept = tuple(pair for pair in limited.headers if pair not in RETRY_BOTH)
            return replace(limited, headers=(*kept, ("retry-after-ms", "1")))

        if _asks_for(seen, "vendor-1302"):
            error: JsonObject = {"code": "1302", "message": SECRET_TEXT}
            return Play(status=429, body=json.dumps({"error": error}).encode())

        return made.answer(seen)

    return play


def _asks_for(seen: Seen, name: str) -> bool:
    return name in seen.path or f'"{name}"'.encode() in seen.body


def _renamed(seen: Seen, old: str, new: str) -> Seen:
    body = seen.body.replace(old.encode(), new.encode())
    return replace(seen, path=seen.path.replace(old, new), body=body)


def _cells() -> list[tuple[str, str]]:
    cells: list[tuple[str, str]] = []

    for name in VENDORS:
        kind = name.partition(" ")[0]
        embeds = adapters()[kind].embeddings(ProviderSpec(provider_type=kind)) is not None
        cells += [(name, surface) for surface in SURFACES if embeds or surface != "embeddings"]

    return cells


@pytest.mark.requirement("001-error-mapping")
@pytest.mark.parametrize(("name", "surface"), _cells())
async def test_every_failure_is_what_the_table_says(
    name: str, surface: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Status, code, whether to come again and when, whose fault, how often tried, and silence."""
    simulator, options = VENDORS[name]
    kind = name.partition(" ")[0]
    spec = ProviderSpec(
        provider_type=kind,
        long_timeout=5.0,
        max_retries=RETRIES,
        api_key=SecretRef(name="k"),
        options=dict(options),
    )
    models = map(model, ("plain", *BEFORE, *INSIDE))
    wrong: list[str] = []

    async with gateway(_simulated(simulator), *models, spec=spec, section=PATIENT) as up:
        up.host.secrets["k"] = KEY

        for stream in (False, True) if surface in _CHATS else (False,):
            for failing, row in {**BEFORE, **OWN.get(kind, {})}.items():
                if row is not None and surface in row.surfaces:
                    wrong += await _before(up, surface, failing, row, stream=stream)

        if surface in _CHATS and kind != "gpt4all":
            for failing, code in INSIDE.items():
                wrong += await _inside(up, surface, failing, code)

        journal = repr(up.host.journal)

    wrong += [f"the journal has {secret}" for secret in SECRETS if secret in journal]
    wrong += [f"the log has {secret}" for secret in SECRETS if secret in caplog.text]
    assert not wrong, "\n".join(wrong)


async def _asked(up: Gateway, surface: str, name: str, *, stream: bool) -> Client:
    path, said = SURFACES[surface]
    body: JsonObject = {"model": f"up~{name}", **said}

    if stream:
        body["stream"] = True

    return await up.ask(body, path=path)


async def _before(up: Gateway, surface: str, name: str, row: Row, *, stream: bool) -> list[str]:
    """Return what a failure before the first byte is that it should not be."""
    client = await _asked(up, surface, name, stream=stream)
    outcome = up.outcomes[-1]
    told = _told(client, surface)
    silent = SECRETS if row.status == 400 else WORDS
    seen: dict[str, object] = {
        "status": client.status,
        "origin": client.headers.get("x-spindle-origin"),
        "complete": client.is_complete,
        "settled": outcome.status,
        "attempts": len(outcome.attempts),
        "shape": set(told) == _SHAPES[surface],
        "secrets": [word for word in silent if word.encode() in _bytes(client)],
    }
    wanted: dict[str, object] = {
        "status": row.status,
        "origin": "upstream",
        "complete": True,
        "settled": Status.ERROR,
        "attempts": row.attempts,
        "shape": True,
        "secrets": [],
    }

    code = row.code if stream else row.whole_code or row.code

    if code is not None:
        seen["settled as"] = _SPELT.get(outcome.error_code or "", outcome.error_code)
        wanted["settled as"] = code

        if surface != "messages":
            seen["code"], wanted["code"] = told["code"], code

    if row.again is not None:
        seen["again"] = client.headers.get("x-should-retry") != "false"
        wanted["again"] = row.again

    if row.wait_ms is not None:
        seen["wait"] = (client.headers.get("retry-after"), client.headers.get("retry-after-ms"))
        wanted["wait"] = (str(-(-row.wait_ms // 1000)), str(row.wait_ms))

    where = f"{name}, {'stream' if stream else 'whole'}"
    # A route tells of attempts, which are the same either way.
    return _differences(where, seen, wanted) + ([] if stream else await _route(up, client, where))


async def _inside(up: Gateway, surface: str, name: str, code: str) -> list[str]:
    """Return what a failure after the first byte is that it should not be."""
    client = await _asked(up, surface, name, stream=True)
    outcome = up.outcomes[-1]
    told = _last_event(client, surface)
    seen: dict[str, object] = {
        "status": client.status,
        "settled": outcome.status,
        "settled as": outcome.error_code,
        "attempts": [entry.outcome for entry in outcome.attempts],
        "complete": client.is_complete,
        "secrets": [word for word in WORDS if word.encode() in _bytes(client)],
        "ended well": any(end in client.content for end in _GOOD_ENDS),
        "shape": set(told) >= _SHAPES[surface],
        "code": told.get("code"),
    }
    wanted: dict[str, object] = {
        "status": 200,
        "settled": Status.PARTIAL,
        "settled as": code,
        "attempts": [code],
        "complete": True,
        "secrets": [],
        "ended well": False,
        "shape": True,
        "code": {"chat": code, "responses": "server_error"}.get(surface),
    }
    where = f"{name}, inside"
    return _differences(where, seen, wanted) + await _route(up, client, where)


def _differences(where: str, seen: Mapping[str, object], wanted: Mapping[str, object]) -> list[str]:
    return [
        f"{where}: {fact} is {seen[fact]!r}, not {wanted[fact]!r}"
        for fact in wanted
        if seen[fact] != wanted[fact]
    ]


async def _route(up: Gateway, client: Client, where: str) -> list[str]:
    """Return what the record of a route tells that it should not."""
    route_id = client.headers["x-spindle-route"]
    shown = await up.ask(method="GET", path=f"/llm/routes/{route_id}")
    assert shown.status == 200, shown.content
    return [f"{where}: its route has {secret}" for secret in SECRETS if secret in repr(shown.json)]


_SHAPES: Final = {
    "chat": {"message", "type", "param", "code"},
    "responses": {"message", "code"},
    "embeddings": {"message", "type", "param", "code"},
    "messages": {"type", "message"},
}
_SPELT: Final = {"llm.context_length": "context_length_exceeded"}
_GOOD_ENDS: Final = (b"[DONE]", b"message_stop", b'"response.completed"')


def _told(client: Client, surface: str) -> JsonObject:
    """Return the error object of an answer."""
    error = client.json["error"]
    assert isinstance(error, dict)
    return {"message": "", "code": error["code"]} if surface == "responses" else error


def _last_event(client: Client, surface: str) -> JsonObject:
    """Return the error object that a stream ends in."""
    block = client.content.decode().removesuffix("\n\n").split("\n\n")[-1]
    data: JsonObject = json.loads(block.rpartition("data: ")[2])

    if surface == "responses":
        response = data.get("response", data)
        assert isinstance(response, dict)
        data = response

    error = data["error"]
    assert isinstance(error, dict)
    return error


def _bytes(client: Client) -> bytes:
    return client.content + repr(client.sent[0]).encode()
