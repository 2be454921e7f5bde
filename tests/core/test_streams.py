"""Streamed results of cross-protocol calls: bounded, closed, settled once, whatever ends them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.streams import SettledStream
from spindle_spi.admission import Outcome, Status
from spindle_spi.errors import Internal, UpstreamError, UpstreamTimeout
from spindle_spi.invocation import StreamEvent, Streaming

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECE = StreamEvent(payload={"choices": []})
USAGE = StreamEvent(payload={"usage": {"prompt_tokens": 3, "completion_tokens": True}})


@dataclass
class Owner:
    """The other end: what it sends, how that ends, and what became of it."""

    events: list[StreamEvent] = field(default_factory=lambda: [PIECE, USAGE])
    fault: BaseException | None = None
    hangs: bool = False
    closed: int = 0
    outcomes: list[Outcome] = field(default_factory=list[Outcome])

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self

    async def __anext__(self) -> StreamEvent:
        if self.events:
            return self.events.pop(0)

        if self.hangs:
            await anyio.sleep_forever()

        raise self.fault or StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1

    async def settle(self, outcome: Outcome) -> None:
        await anyio.sleep(0.001)
        self.outcomes.append(outcome)

    def stream(self, seconds: float | None = None) -> SettledStream:
        deadline = None if seconds is None else time.monotonic() + seconds
        return SettledStream(
            Streaming(self), self.settle, started=time.perf_counter(), deadline=deadline
        )

    def settled(self) -> Outcome:
        (outcome,) = self.outcomes
        assert self.closed == 1
        return outcome


async def test_the_end_settles_with_the_usage() -> None:
    """Read to its end; closing it then, twice, changes nothing; nor does reading on."""
    owner = Owner()
    stream = owner.stream()
    assert [event async for event in stream] == [PIECE, USAGE]
    await stream.aclose()
    await stream.aclose()

    with pytest.raises(StopAsyncIteration):
        await anext(stream)

    outcome = owner.settled()
    assert (outcome.status, outcome.stream) == (Status.OK, True)
    assert outcome.usage is not None
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (3, 0)
    assert outcome.first_byte_ms is not None


async def test_a_stream_nobody_read_is_closed_and_settled() -> None:
    """Not one event was asked for: the owner is told all the same."""
    owner = Owner()
    await Streaming(owner.stream()).close()
    assert owner.settled().status is Status.CANCELLED


async def test_leaving_early_is_partial() -> None:
    """What was there of the usage is recorded."""
    owner = Owner(events=[USAGE, PIECE])
    stream = owner.stream()
    await anext(stream)
    await stream.aclose()
    outcome = owner.settled()
    assert outcome.status is Status.PARTIAL
    assert outcome.usage is not None


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize(
    ("fault", "code"),
    [(UpstreamError("gone", code="x.gone"), "x.gone"), (KeyError(), Internal.default_code)],
)
async def test_a_failure_is_passed_on_and_settled(
    count: int, fault: BaseException, code: str
) -> None:
    """Before the first event an error, after it a part."""
    owner = Owner(events=[PIECE] * count, fault=fault)
    stream = owner.stream()

    with pytest.raises(type(fault)):
        async for _ in stream:
            pass

    outcome = owner.settled()
    assert outcome.status is (Status.PARTIAL if count else Status.ERROR)
    assert outcome.error_code == code


@pytest.mark.parametrize("count", [0, 1])
async def test_cancelling_a_reader_settles(count: int) -> None:
    """The settlement itself is not cancelled with it."""
    owner = Owner(events=[PIECE] * count, hangs=True)

    async def read() -> None:
        async for _ in owner.stream():
            pass

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()

    assert owner.settled().status is (Status.PARTIAL if count else Status.CANCELLED)
    assert owner.settled().error_code is None


@pytest.mark.parametrize("seconds", [0.02, -1.0])
async def test_the_deadline_ends_a_stream(seconds: float) -> None:
    """An owner that hangs in the middle does not hold the call longer than it may last."""
    owner = Owner(events=[PIECE], hangs=True)
    stream = owner.stream(seconds)

    with pytest.raises(UpstreamTimeout), anyio.fail_after(5):
        async for _ in stream:
            pass

    assert owner.settled().error_code == UpstreamTimeout.default_code
