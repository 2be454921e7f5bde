"""Failing upstreams over sockets: who is asked again, who is asked instead, and who is not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_conformance.upstreams.scripts import dump
from spindle_conformance.upstreams.server import Ending, Play
from spindle_spi.admission import Status
from spindle_spi.records import ModelSpec
from tests.llm.support.gateway import Client, chat_bytes, until
from tests.llm.support.providers import DEAD, providers
from tests.llm.support.records import SPEC, Word, model, provider

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spindle_conformance.upstreams.server import Seen
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject
    from tests.llm.support.gateway import Gateway

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("003-chat-fallback")]

SECTION: JsonObject = {"routing": {"backoff_seconds": 0.001}}
FAST = replace(SPEC, long_timeout=0.3)
BROKEN = Play(status=500, body=b"{}")
BUSY = Play(status=503, body=b"{}")
LIMITED = Play(status=429, body=b"{}", headers=(("retry-after-ms", "1"),))
POOR = Play(status=429, body=dump({"error": {"code": "insufficient_quota"}}))
REFUSED = Play(status=401, body=b"{}")
MISSING = Play(status=404, body=b"{}")
WRONG = Play(status=400, body=dump({"error": {"message": "no"}}))
LONG = Play(
    status=400, body=dump({"error": {"message": "long", "code": "context_length_exceeded"}})
)
HANGING = Play(silent=True, ending=Ending.HANG)
GARBAGE = Play(body=b"<html>", content_type="text/html")


def _sse(body: bytes, ending: Ending = Ending.COMPLETE) -> Play:
    return Play(body=body, streamed=True, content_type="text/event-stream", ending=ending)


ERROR_FIRST = _sse(b'data: {"error":{"message":"x"}}\n\n')
CUT_FIRST = _sse(b"", Ending.CUT)
NOTHING = _sse(b": waiting\n\n")
SILENT_FIRST = _sse(b"", Ending.HANG)


def play_then_answer(*plays: Play) -> Callable[[Seen], Play]:
    """Return a handler that plays these and then answers well."""
    waiting = list(plays)
    return lambda seen: waiting.pop(0) if waiting else answer(seen)


def _is_told(client: Client, gateway: Gateway) -> bool:
    return bool(client.sent) or len(gateway.upstream.seen) == 2


def chain(*others: str, on: Sequence[str] = ("error", "rate_limit")) -> list[CatalogRecord]:
    """Return the model `plain` of the provider `one`, with those of others as fallbacks."""
    first = model("plain", of="one", fallbacks=tuple(f"{other}~plain" for other in others))
    assert isinstance(first.spec, ModelSpec)
    first = replace(first, spec=replace(first.spec, fallback_on=tuple(on)))
    return [first, *(model("plain", of=other) for other in others)]


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("play", "outcome"),
    [
        (BROKEN, "upstream_error"),
        (LIMITED, "rate_limit_exceeded"),
        (POOR, "insufficient_quota"),
        (REFUSED, "upstream_auth"),
        (MISSING, "upstream_model_missing"),
        (HANGING, "upstream_timeout"),
        (GARBAGE, "upstream_garbage"),
    ],
)
async def test_what_fails_before_the_first_byte_is_answered_by_the_next(
    play: Play, outcome: str, stream: bool, hooked: bool
) -> None:
    """Whole or as a stream, looked at by a plugin or not; the ledger knows who served."""
    async with providers({"one": play, "two": answer}, *chain("two"), specs={"one": FAST}) as up:
        if hooked:
            up.gateway.host.plugins.append(Word())

        client = await up.chat("one~plain", stream=stream)
        settled = up.gateway.host.outcome

    assert client.status == 200
    shown = client.chunks[0] if stream else client.json
    assert shown["model"] == "two~plain"
    assert (settled.status, settled.served_by) == (Status.OK, "two~plain")
    assert [attempt.outcome for attempt in settled.attempts] == [outcome, "ok"]


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize(
    ("play", "outcome"),
    [
        (ERROR_FIRST, None),
        (CUT_FIRST, "upstream_cut"),
        (NOTHING, "upstream_cut"),
        (SILENT_FIRST, "upstream_timeout"),
    ],
)
async def test_a_stream_that_fails_before_its_first_event_is_answered_by_the_next(
    play: Play, outcome: str | None, hooked: bool
) -> None:
    """A good status is no good answer yet."""
    async with providers({"one": play, "two": answer}, *chain("two"), specs={"one": FAST}) as up:
        if hooked:
            up.gateway.host.plugins.append(Word())

        client = await up.chat("one~plain", stream=True)
        first, second = up.gateway.host.outcome.attempts

    assert client.chunks[0]["model"] == "two~plain"
    assert outcome is None or first.outcome == outcome
    assert (first.status, second.outcome) == (200, "ok")


async def test_a_whole_answer_that_is_cut_is_answered_by_the_next() -> None:
    """Nothing of it has reached the client."""
    cut = Play(body=b'{"choices":[', ending=Ending.CUT)

    async with providers({"one": cut, "two": answer}, *chain("two")) as up:
        client = await up.chat("one~plain")

    assert client.json["model"] == "two~plain"


async def test_after_the_first_event_nobody_else_is_asked() -> None:
    """The client was told something already; the attempt that began well is shown as broken."""
    cut = model("cut", of="one", fallbacks=("two~plain",))

    async with providers({"one": answer, "two": answer}, cut, model("plain", of="two")) as up:
        client = await up.chat("one~cut", stream=True)
        settled = up.gateway.host.outcome

    assert client.status == 200
    assert "[DONE]" not in client.events
    assert (up.asked()["one"], up.asked()["two"]) == (1, 0)
    assert settled.status is Status.PARTIAL
    assert [attempt.outcome for attempt in settled.attempts] == [client.error["code"]]


@pytest.mark.parametrize(
    ("play", "on", "asked"),
    [
        (BROKEN, ["error"], 1),
        (BROKEN, ["rate_limit"], 0),
        (BROKEN, [], 0),
        (LIMITED, ["rate_limit"], 1),
        (LIMITED, ["error"], 0),
        (POOR, ["rate_limit"], 1),
        (LONG, ["error", "rate_limit"], 0),
        (LONG, ["context_length"], 1),
        (WRONG, ["error", "rate_limit", "context_length"], 0),
    ],
)
async def test_a_models_triggers_say_when_its_fallbacks_answer(
    play: Play, on: list[str], asked: int
) -> None:
    """What triggers nothing is told the client as it is."""
    async with providers({"one": play, "two": answer}, *chain("two", on=on)) as up:
        client = await up.chat("one~plain")

    assert up.asked()["two"] == asked
    assert (client.status == 200) == bool(asked)


@pytest.mark.requirement("003-chat-timeouts")
@pytest.mark.parametrize(
    ("play", "retries", "asked"),
    [
        (BROKEN, 0, 1),
        (BROKEN, 3, 2),
        (BUSY, 3, 4),
        (LIMITED, 3, 4),
        (POOR, 3, 1),
        (REFUSED, 3, 1),
        (MISSING, 3, 1),
        (WRONG, 3, 1),
        (LONG, 3, 1),
        (HANGING, 3, 2),
    ],
)
async def test_a_provider_is_asked_again_as_often_as_its_record_and_the_failure_allow(
    play: Play, retries: int, asked: int
) -> None:
    """500 and silence once, a rate limit and an overload by the record, all else never."""
    spec = replace(FAST, long_timeout=0.1, max_retries=retries)

    async with providers({"one": play}, *chain(), specs={"one": spec}, section=SECTION) as up:
        client = await up.chat("one~plain")

    assert client.status != 200
    assert up.asked()["one"] == asked


@pytest.mark.requirement("003-chat-timeouts")
async def test_a_provider_that_comes_back_answers_when_it_is_asked_again() -> None:
    """Its own word on how long to wait is kept to, and noted."""
    limited = Play(status=429, body=b"{}", headers=(("retry-after-ms", "30"),))
    play = play_then_answer(limited)
    spec = replace(SPEC, max_retries=1)

    async with providers({"one": play}, *chain(), specs={"one": spec}, section=SECTION) as up:
        client = await up.chat("one~plain", stream=True)
        first, second = up.gateway.host.outcome.attempts

    assert client.status == 200
    assert (first.status, first.waited_ms) == (429, 0.0)
    assert second.outcome == "ok"
    assert second.waited_ms >= 30.0


@pytest.mark.requirement("003-chat-timeouts")
async def test_a_wait_that_is_too_long_is_not_waited() -> None:
    """The next is asked at once; without one the client is told how long."""
    limited = Play(status=429, body=b"{}", headers=(("retry-after", "3000"),))
    specs = {"one": replace(SPEC, max_retries=5)}

    async with providers({"one": limited, "two": answer}, *chain("two"), specs=specs) as up:
        assert (await up.chat("one~plain")).json["model"] == "two~plain"
        assert up.asked()["one"] == 1

    async with providers({"one": limited}, *chain(), specs=specs) as up:
        client = await up.chat("one~plain")

    assert (client.status, client.headers["retry-after"]) == (429, "3000")


@pytest.mark.requirement("003-chat-timeouts")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_completion_may_take_so_long_altogether(stream: bool) -> None:
    """However lively the upstream is, and however often it would be asked again."""
    body = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n' * 200
    chatty = Play(body=body, streamed=True, content_type="text/event-stream", chunk=60, pause=0.02)
    spec = replace(SPEC, timeout=0.3, max_retries=3)

    async with providers({"one": chatty}, *chain(), specs={"one": spec}, section=SECTION) as up:
        client = await up.chat("one~plain", stream=stream)

    assert client.error["code"] == "upstream_timeout"
    assert up.asked()["one"] == (1 if stream else up.asked()["one"])


@pytest.mark.requirement("001-urls-balance")
async def test_an_address_nobody_listens_at_is_passed_over() -> None:
    """Within one attempt, and for a while it is not even tried."""
    spec = replace(SPEC, urls=(DEAD, DEAD))

    async with providers({"one": answer}, *chain(), specs={"one": spec}) as up:
        for _ in range(6):
            assert (await up.chat("one~plain")).status == 200

        outcomes = [outcome.attempts for outcome in up.gateway.outcomes]
        assert up.asked()["one"] == 6

    assert all([attempt.outcome for attempt in each] == ["ok"] for each in outcomes)


@pytest.mark.requirement("001-urls-balance")
async def test_when_no_address_listens_the_provider_cannot_be_reached() -> None:
    """It is one failure, and the fallback answers."""
    spec = replace(SPEC, urls=(DEAD, DEAD))
    dead = provider("one", spec=spec)

    async with providers({"two": answer}, dead, *chain("two")) as up:
        client = await up.chat("one~plain")
        attempts = up.gateway.host.outcome.attempts

    assert client.json["model"] == "two~plain"
    assert [attempt.outcome for attempt in attempts] == ["upstream_unreachable", "ok"]


@pytest.mark.requirement("003-chat-timeouts")
async def test_a_provider_over_its_rate_is_passed_over_like_one_that_answers_429() -> None:
    """When nobody is left the client is told how long it has to wait."""
    spec = replace(SPEC, requests_per_minute=1)
    specs = {"one": spec, "two": spec}

    async with providers({"one": answer, "two": answer}, *chain("two"), specs=specs) as up:
        models = [(await up.chat("one~plain")).json["model"] for _ in range(2)]
        client = await up.chat("one~plain")
        record = await up.route(client)

    assert models == ["one~plain", "two~plain"]
    assert up.asked() == {"one": 1, "two": 1}
    assert (client.status, client.error["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(client.headers["retry-after"]) <= 61
    assert record["attempts"] == []
    exclusions = record["exclusions"]
    assert isinstance(exclusions, list)
    assert [one["reason"] for one in exclusions if isinstance(one, dict)] == ["rate", "rate"]


async def test_tokens_count_as_they_were_used() -> None:
    """What a call came to in the end, not what it was thought to be."""
    spec = replace(SPEC, tokens_per_minute=30)

    async with providers({"one": answer}, *chain(), specs={"one": spec}) as up:
        first = await up.chat("one~plain")
        second = await up.chat("one~plain")

    assert first.status == 200
    assert second.status == 429


async def test_a_provider_that_keeps_failing_is_left_alone() -> None:
    """Its breaker opens, and the fallback answers without its being asked."""
    section: JsonObject = {"routing": {"breaker": {"failures": 2, "cooldown_seconds": 60}}}

    async with providers({"one": BROKEN, "two": answer}, *chain("two"), section=section) as up:
        clients = [await up.chat("one~plain") for _ in range(4)]
        assert {str(client.json["model"]) for client in clients} == {"two~plain"}
        record = await up.route(clients[-1])

    assert up.asked() == {"one": 2, "two": 4}
    assert record["served_by"] == "two~plain"
    exclusions = record["exclusions"]
    assert isinstance(exclusions, list)
    assert isinstance(exclusions[0], dict)
    assert (exclusions[0]["model"], exclusions[0]["reason"]) == ("one~plain", "breaker open")


async def test_a_provider_that_is_back_is_asked_again() -> None:
    """After its cool-down one call tries, and then it is as before."""
    section: JsonObject = {"routing": {"breaker": {"failures": 2, "cooldown_seconds": 0.01}}}
    play = play_then_answer(BROKEN, BROKEN)

    async with providers({"one": play, "two": answer}, *chain("two"), section=section) as up:
        for _ in range(2):
            assert (await up.chat("one~plain")).json["model"] == "two~plain"

        while (await up.chat("one~plain")).json["model"] != "one~plain":
            pass

        assert (await up.chat("one~plain")).json["model"] == "one~plain"


async def test_a_client_that_leaves_while_its_call_tries_leaves_the_try_to_the_next() -> None:
    """Nobody is shut out because somebody had no patience."""
    section: JsonObject = {"routing": {"breaker": {"failures": 1, "cooldown_seconds": 0.01}}}
    play = play_then_answer(BROKEN, HANGING)

    async with providers({"one": play}, *chain(), section=section) as up:
        assert (await up.chat("one~plain")).status == 502
        client = Client(b"")

        while len(up.gateway.upstream.seen) < 2:
            client = Client(chat_bytes("one~plain"))
            up.gateway.start(client)
            await until(partial(_is_told, client, up.gateway))

        client.leaves.set()
        await up.gateway.left()
        await until(lambda: len(up.gateway.outcomes) >= 2)

        while (await up.chat("one~plain")).status != 200:
            pass


async def test_alone_it_answers_that_it_is_resting() -> None:
    """With the seconds until it may be tried again."""
    section: JsonObject = {"routing": {"breaker": {"failures": 1, "cooldown_seconds": 60}}}

    async with providers({"one": BROKEN}, *chain(), section=section) as up:
        assert (await up.chat("one~plain")).status == 502
        client = await up.chat("one~plain")

    assert (client.status, client.error["code"]) == (503, "llm.provider.resting")
    assert 0 < int(client.headers["retry-after"]) <= 60
    assert up.asked() == {"one": 1}


async def test_what_is_the_clients_own_fault_is_not_the_providers() -> None:
    """No number of wrong requests opens a breaker."""
    section: JsonObject = {"routing": {"breaker": {"failures": 1}}}

    async with providers({"one": WRONG}, *chain(), section=section) as up:
        for _ in range(3):
            assert (await up.chat("one~plain")).status == 400

    assert up.asked() == {"one": 3}
