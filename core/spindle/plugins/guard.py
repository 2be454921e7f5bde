"""The guard of one streamed answer: each lane is a text going through every plugin in turn.

Whole pieces (tool arguments) go through the same `PhaseRun` as unary answers.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING, Protocol

from spindle.plugins.pipeline import PhaseRun
from spindle.plugins.scanner import Scanner
from spindle_spi.errors import ContractViolation, GatewayError, PluginDenied
from spindle_spi.plugin import Lane, Segment, SegmentKind, StreamGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from spindle.plugins.active import ActivePlugin
    from spindle.plugins.registry import PluginRegistry
    from spindle_spi.plugin import PluginInput

_MAX_LANES = 1024
"""Lanes of one answer; an upstream that numbers its choices without end is refused."""


def open_guard(
    registry: PluginRegistry,
    names: Sequence[str],
    call: PluginInput,
    on_finish: Callable[[], None],
) -> Guard:
    """Open the guard of one streamed answer; `on_finish` is called once, at its end."""
    return Guard(PhaseRun(registry, tuple(names), call), on_finish)


class Guard(StreamGuard):
    """Judges one streamed answer; after any failure it releases nothing more."""

    def __init__(self, run: PhaseRun, on_finish: Callable[[], None]) -> None:
        self._run = run
        self._on_finish = on_finish
        self._lanes: dict[Lane, _LaneText | None] = {}
        self._failure: GatewayError | None = None
        self._is_finished = False

    async def push(self, lane: Lane, text: str) -> str:
        """Take the next text of a lane; return what may go out now."""
        with self._failing_closed():
            return self._lane(lane).push(text)

    async def close(self, lane: Lane) -> str:
        """End a lane; return the rest of its text."""
        with self._failing_closed():
            opened = self._lanes.get(lane)
            self._lanes[lane] = None
            return "" if opened is None else await opened.close()

    async def judge(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Judge pieces that are looked at whole."""
        with self._failing_closed():
            return await self._run.run(segments)

    async def finish(self) -> None:
        """Leave the receipt, once; a lane that is still open is a defect of the module."""
        if self._is_finished:
            return

        with self._failing_closed():
            if any(lane is not None for lane in self._lanes.values()):
                raise ContractViolation("A guard was finished while a lane of it was open.")

        self._is_finished = True
        self._on_finish()

    def _lane(self, lane: Lane) -> _LaneText:
        found = self._lanes.get(lane)

        if found is not None:
            return found

        if lane in self._lanes:
            raise ContractViolation("Text was pushed into a lane that is closed.")

        if len(self._lanes) >= _MAX_LANES:
            raise PluginDenied(
                "The answer has too many parts to be judged.", code="plugin.too_many_lanes"
            )

        opened = self._lanes[lane] = _LaneText(self._run, lane)
        return opened

    @contextmanager
    def _failing_closed(self) -> Generator[None]:
        if self._failure is not None:
            raise self._failure

        if self._is_finished:
            raise ContractViolation("A guard was used after it was finished.")

        try:
            yield
        except GatewayError as error:
            self._failure = error
            raise
        except BaseException:
            # A cancelled verdict: its text was neither judged nor released.
            self._failure = ContractViolation("A guard was used after a verdict was interrupted.")
            raise

        # Another lane may have failed while this one awaited its verdict.
        if self._failure is not None:
            raise self._failure


class _Judge(Protocol):
    """What one plugin makes of one lane's text."""

    def push(self, text: str) -> str: ...

    async def close(self) -> str: ...

    def pending(self) -> str:
        """Return the text that was taken and not released, as it came."""
        ...


class _LaneText:
    """One lane: a stage per plugin, each fed with what the one before released."""

    def __init__(self, run: PhaseRun, lane: Lane) -> None:
        self._run = run
        self._has_text = False
        segment = Segment(
            pointer=f"/choices/{lane.choice}/message/{lane.channel}",
            kind=SegmentKind.TEXT,
            role="assistant",
        )
        self._stages = [
            _Stage(run, active, segment)
            for active in run.plugins
            if SegmentKind.TEXT in active.plugin.kinds
        ]

    def push(self, text: str) -> str:
        if not text:
            return ""

        if not self._has_text:
            self._run.require_handled(SegmentKind.TEXT)
            self._has_text = True

        for stage in self._stages:
            text = stage.push(text)

        return text

    async def close(self) -> str:
        rest = ""

        # A lane without text is no segment of the unary answer either.
        if self._has_text:
            for stage in self._stages:
                rest = stage.push(rest) + await stage.close()

        return rest


class _Stage:
    """One plugin in the chain of a lane.

    A permissive one judges a copy; its faults end here. One that fails open lets the text that it
    has not judged pass as it came.
    """

    def __init__(self, run: PhaseRun, active: ActivePlugin, segment: Segment) -> None:
        self._run = run
        self._active = active
        self._seconds = 0.0
        self._judge: _Judge | None

        if active.is_scanning:
            self._judge = _Scanning(active, run)
        else:
            self._judge = _Holding(active, run, segment)

    def push(self, text: str) -> str:
        judge, self._judge = self._judge, None

        if judge is None:
            return text

        released: list[str] = []

        with self._run.verdict(self._active), self._timed():
            released.append(judge.push(text))
            self._judge = judge

        if not self._active.is_enforced:
            return text

        return released[0] if released else judge.pending()

    async def close(self) -> str:
        judge, self._judge = self._judge, None
        released: list[str] = []

        if judge is None:
            return ""

        with self._run.verdict(self._active), self._timed():
            released.append(await judge.close())

        if released:
            self._run.tally.judged(self._active, self._seconds)

        if not self._active.is_enforced:
            return ""

        return released[0] if released else judge.pending()

    @contextmanager
    def _timed(self) -> Generator[None]:
        started = time.perf_counter()

        try:
            yield
        except BaseException:
            # The last look at this lane: one that is refused is never closed.
            self._run.tally.judged(self._active, self._seconds + time.perf_counter() - started)
            raise

        self._seconds += time.perf_counter() - started


class _Scanning:
    """A plugin with a span: text flows with a hold-back."""

    def __init__(self, active: ActivePlugin, run: PhaseRun) -> None:
        self._scanner = Scanner(active, run.tally)

    def push(self, text: str) -> str:
        return self._scanner.push(text)

    async def close(self) -> str:
        return self._scanner.close()

    def pending(self) -> str:
        return self._scanner.pending()


class _Holding:
    """A plugin without a span: the lane is held to its end."""

    def __init__(self, active: ActivePlugin, run: PhaseRun, segment: Segment) -> None:
        self._active = active
        self._run = run
        self._segment = segment
        self._held = StringIO()

        if active.is_enforced:
            run.tally.held(active)

    def push(self, text: str) -> str:
        self._run.hold(self._active, len(text))
        self._held.write(text)
        return ""

    async def close(self) -> str:
        whole = replace(self._segment, text=self._held.getvalue())
        judged = await self._run.inspect(self._active, (whole,))
        return judged[0].text

    def pending(self) -> str:
        return self._held.getvalue()
