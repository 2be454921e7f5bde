"""Upstreams that hang, clients that leave or do not read: all is let go, and nothing grows.

Over real sockets on both sides; the gateway's own server is in front.
"""

from __future__ import annotations

import gc
import json
import sys
from collections import Counter
from contextlib import contextmanager
from types import AsyncGeneratorType
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_conformance.upstreams.server import Play, Seen
from spindle_conformance.upstreams.simulator import Quirk
from spindle_conformance.upstreams.simulators import SIMULATORS
from spindle_llm.routing.attempts import Opened
from spindle_llm.surfaces.exchange import Exchange
from spindle_spi.admission import Status
from spindle_spi.records import ProviderSpec
from spindle_transport.aiohttp_transport import AiohttpResponse
from tests.llm.support.gateway import gateway, until
from tests.llm.support.records import model
from tests.llm.support.sockets import (
    CASES,
    HALF,
    RAW_CHAT,
    Between,
    Case,
    between,
    has_begun,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from spindle_spi.admission import Outcome
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

IMPATIENT = ProviderSpec(provider_type="", long_timeout=0.15)
LIMIT = 100_000
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def _error_code(answer: bytes) -> str | None:
    """Return the code of an answer's error, or of the event that ends a stream."""
    head, _, body = answer.partition(b"\r\n\r\n")
    text = body.decode()

    if b"text/event-stream" in head:
        text = text[text.rindex("data: ") :].removeprefix("data: ").split("\n")[0]

    data = json.loads(text)
    error = data.get("response", data)["error"]
    return error.get("code") or error["type"]  # type: ignore[no-any-return]


async def _only_outcome(there: Between) -> Outcome:
    await there.up.settled()
    assert await there.up.module.stats() == {"in_flight": {"up": 0}}
    return there.up.host.outcome


@EACH
@pytest.mark.parametrize("stream", [False, True])
async def test_an_upstream_that_never_answers_is_given_up(case: Case, stream: bool) -> None:
    """After its time of silence: 504 in the surface's form, and its connection is closed."""
    async with between(case, "hang", spec=IMPATIENT) as there:
        answer = await there.ask(case.request("hang", stream=stream))
        await there.let_go()
        outcome = await _only_outcome(there)

    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"x-spindle-origin: upstream" in answer
    assert (outcome.status, outcome.error_code) == (Status.ERROR, "upstream_timeout")


@pytest.mark.requirement("000-module-owns-streaming")
@EACH
async def test_an_upstream_that_falls_silent_in_the_middle_is_given_up(case: Case) -> None:
    """The stream ends in an error, the connection is closed, and what came is settled."""
    async with between(case, HALF, spec=IMPATIENT) as there:
        answer = await there.ask(case.request(HALF, stream=True))
        await there.let_go()
        outcome = await _only_outcome(there)

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert _error_code(answer) in ("upstream_timeout", "timeout_error", "server_error")
    assert (outcome.status, outcome.error_code) == (Status.PARTIAL, "upstream_timeout")
    assert outcome.usage is not None
    assert outcome.usage.output_tokens > 0


@pytest.mark.parametrize("kind", ["openai", "anthropic", "ollama", "lm_studio"])
async def test_an_upstream_whose_list_never_comes_holds_nobody_up(kind: str) -> None:
    """It is asked no longer than its short time, its connection is closed, its models serve."""
    made = SIMULATORS[kind](key=None, quirks={Quirk.LIST_HANGS})
    spec = ProviderSpec(provider_type=kind, short_timeout=0.15, enable_discovery=True)

    async with gateway(made.answer, model("plain"), spec=spec) as up:
        await until(lambda: any(seen.method == "GET" for seen in up.upstream.seen))
        asked = next(seen for seen in up.upstream.seen if seen.method == "GET")
        assert (await up.chat("up~plain")).status == 200
        await until(lambda: asked.client_left or asked.ended)
        assert asked.client_left or asked.bytes_sent
        assert (await up.chat("up~plain")).status == 200


@EACH
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_while_it_waits_ends_the_upstream(
    case: Case, stream: bool
) -> None:
    """Within a second its connection is closed; the call is settled as cancelled, with usage."""
    async with between(case, "hang") as there:
        async with there.asked(case.request("hang", stream=stream)):
            await there.up.reached()

        await there.let_go()
        outcome = await _only_outcome(there)

    assert (outcome.status, outcome.error_code) == (Status.CANCELLED, "client_closed_request")
    assert outcome.usage is not None
    assert outcome.usage.estimated


@EACH
async def test_a_client_that_leaves_in_the_middle_ends_the_upstream(case: Case) -> None:
    """Within a second its connection is closed; the call is settled as partial, with usage."""
    async with between(case, HALF) as there:
        async with there.asked(case.request(HALF, stream=True)) as caller:
            await caller.read_until(has_begun)

        await there.let_go()
        outcome = await _only_outcome(there)

    assert (outcome.status, outcome.error_code) == (Status.PARTIAL, "client_closed_request")
    assert outcome.usage is not None
    assert outcome.usage.output_tokens > 0
    assert outcome.first_byte_ms is not None


async def test_a_client_that_leaves_embeddings_ends_the_upstream() -> None:
    """Nobody else waits for them."""
    case = Case(surface="embeddings")

    async with between(case, "hang") as there:
        async with there.asked(case.request("hang", stream=False)):
            await there.up.reached()

        await there.let_go()
        assert (await _only_outcome(there)).status is Status.CANCELLED


def _alive() -> Counter[str]:
    """Return how many objects there are that belong to one call."""
    gc.collect()
    kinds = {kind: kind.__name__ for kind in (Exchange, Opened, AiohttpResponse)}
    return Counter(kinds[type(thing)] for thing in gc.get_objects() if type(thing) in kinds)


def _tasks() -> set[int]:
    return {task.id for task in anyio.get_running_tasks()}


@EACH
@pytest.mark.unmeasured
async def test_streams_that_are_dropped_leave_nothing_behind(case: Case) -> None:
    """Two hundred on the shortest way, forty on each other: no task, no socket, no object."""
    count = 200 if case is RAW_CHAT else 40
    before_objects = _alive()

    async with between(case, HALF) as there:
        before = _tasks()

        async def leave() -> None:
            async with there.asked(case.request(HALF, stream=True)) as caller:
                await caller.read_until(has_begun)

        with anyio.fail_after(15):
            async with anyio.create_task_group() as group:
                for _ in range(count):
                    group.start_soon(leave)

        await until(lambda: len(there.up.outcomes) == count)
        await until(lambda: all(seen.ended for seen in there.up.upstream.seen))
        await until(lambda: not there.wire.door.total)
        await until(lambda: _tasks() <= before)
        assert {outcome.status for outcome in there.up.outcomes} == {Status.PARTIAL}
        assert all(seen.client_left for seen in there.up.upstream.seen)
        assert await there.up.module.stats() == {"in_flight": {"up": 0}}
        assert there.up.host.open_permits == ()
        there.up.host.journal.settled.clear()
        # Route records are kept on purpose; they hold no call. What looks after slow answers
        # holds each for some hundredths of a second.
        await until(lambda: _alive() <= before_objects)


@EACH
async def test_a_stream_that_is_left_is_closed_at_once(case: Case) -> None:
    """No generator of ours is left to the loop, which would close it in a task, some time."""
    names = (HALF, "error-first", "in-stream-error")

    with _unclosed() as unclosed:
        async with between(case, *names) as there:
            for name in names[1:]:
                await there.ask(case.request(name, stream=True))

            async with there.asked(case.request(HALF, stream=True)) as caller:
                await caller.read_until(has_begun)

            await until(lambda: len(there.up.outcomes) == len(names))
            await until(lambda: not there.wire.door.total)
            gc.collect()

    assert unclosed == []


@contextmanager
def _unclosed() -> Generator[list[str]]:
    """Yield the names of the module's generators that the loop had to close."""
    found: list[str] = []
    first, usual = sys.get_asyncgen_hooks()

    def note(generator: AsyncGenerator[object]) -> None:
        assert isinstance(generator, AsyncGeneratorType)

        if "spindle_llm" in generator.ag_code.co_filename:
            found.append(generator.__qualname__)

        if usual is not None:
            usual(generator)

    sys.set_asyncgen_hooks(firstiter=first, finalizer=note)

    try:
        yield found
    finally:
        sys.set_asyncgen_hooks(firstiter=first, finalizer=usual)


@pytest.mark.parametrize(
    "case",
    [*CASES, Case(surface="chat", kind="gpt4all")],
    ids=lambda case: case.name,
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_line_without_an_end_is_refused(case: Case, stream: bool) -> None:
    """An event, a line or an answer above the limit: refused, and its upstream is closed."""
    section: JsonObject = {"answer_limit_bytes": LIMIT}

    async with between(case, "big-line", section=section) as there:
        answer = await there.ask(case.request("big-line", stream=stream))
        await until(lambda: all(seen.ended for seen in there.up.upstream.seen))
        outcome = await _only_outcome(there)

    assert outcome.error_code == "upstream_too_large"
    assert outcome.status in (Status.ERROR, Status.PARTIAL)
    assert len(answer) < LIMIT
    assert b"0123456789abcdef0123456789abcdef" not in answer


def _endless(text: str) -> Play:
    """Return a stream of 64 MiB."""
    head: JsonObject = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choice: JsonObject = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    event = b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"
    body = event * (64 * 1024 * 1024 // len(event))
    return Play(body=body, streamed=True, content_type="text/event-stream", chunk=65_536)


@pytest.mark.parametrize(
    "case",
    [RAW_CHAT, Case(surface="chat", hooked=True), Case(surface="messages")],
    ids=lambda case: case.name,
)
async def test_a_client_that_does_not_read_holds_its_upstream_back(case: Case) -> None:
    """What is read ahead is what sockets hold; the gateway itself keeps next to nothing."""
    endless = _endless("x" * 16_000)

    def play(seen: Seen) -> Play:
        del seen
        return endless

    async with between(case, "m", play=play) as there:
        request = case.request("m", stream=True)

        async with there.asked(request, receive_buffer=4096) as caller:
            await caller.read_until(has_begun)
            (seen,) = there.up.upstream.seen
            written = -1

            with anyio.fail_after(15):
                # Nobody says that nothing more comes: it has stopped when it stands still.
                while written != seen.bytes_sent:
                    written = seen.bytes_sent
                    await anyio.sleep(0.2)

            assert written < 32 * 1024 * 1024
            assert not seen.ended

        await there.let_go()
        outcome = await _only_outcome(there)

    assert outcome.status is Status.PARTIAL
