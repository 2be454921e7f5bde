"""PluginService of a fake host: plugins over whole segments, and over answers as they stream."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spindle_conformance.fakes.admission import FakeAdmission
from spindle_conformance.fakes.journal import HookRun, Journal
from spindle_conformance.fakes.phases import named, run_phase
from spindle_conformance.fakes.refusals import Refusals
from spindle_spi.errors import ContractViolation, GatewayError
from spindle_spi.plugin import (
    HookPhase,
    Lane,
    Plugin,
    PluginInput,
    PluginService,
    Segment,
    SegmentKind,
    StreamGuard,
    phases_of,
    refusal,
)

if TYPE_CHECKING:
    from spindle_conformance.fakes.admission import OpenPermit
    from spindle_spi.context import AuthenticatedContext


@dataclass(slots=True, kw_only=True)
class FakePlugins(PluginService):
    """Runs the plugins a permit's plan names, and leaves their receipts."""

    plugins: Sequence[Plugin]
    admission: FakeAdmission
    journal: Journal
    refusals: Refusals
    guards: list[FakeGuard]
    """Those that were opened, for a test to look at."""

    async def execute_hook(
        self,
        context: AuthenticatedContext,
        permit_id: str,
        phase: HookPhase,
        segments: Sequence[Segment],
    ) -> tuple[Segment, ...]:
        self.refusals.check("execute_hook")
        held = self.admission.held(context, permit_id)
        return await self.run(held, phase, segments)

    async def open_guard(self, context: AuthenticatedContext, permit_id: str) -> StreamGuard:
        self.refusals.check("open_guard")
        held = self.admission.held(context, permit_id)
        _, phase = phases_of(held.permit.record.kind) or (None, HookPhase.POST_INVOKE)
        plugins = named(self.plugins, held.permit.hooks.answer)
        guard = FakeGuard(plugins, _input(held, phase), lambda: held.receipts.add(phase))
        self.guards.append(guard)
        return guard

    async def run(
        self, held: OpenPermit, phase: HookPhase, segments: Sequence[Segment]
    ) -> tuple[Segment, ...]:
        """Run one phase of a call and leave its receipt."""
        self.journal.hooks.append(
            HookRun(permit=held.permit, phase=phase, segments=tuple(segments))
        )
        names = held.permit.hooks.names_in(phase)
        judged = await run_phase(named(self.plugins, names), _input(held, phase), segments)
        held.receipts.add(phase)
        return judged


class FakeGuard(StreamGuard):
    """Judges one streamed answer; after any failure it releases nothing more.

    A plugin with a `span` holds back that many characters less one, any other the whole lane.
    """

    def __init__(
        self, plugins: Sequence[Plugin], call: PluginInput, on_finish: Callable[[], None]
    ) -> None:
        self._plugins = plugins
        self._call = call
        self._on_finish = on_finish
        self._lanes: dict[Lane, list[_LaneText] | None] = {}
        self._failure: BaseException | None = None
        self.judged: list[Segment] = []
        """The pieces that were judged whole, as they came."""
        self.is_finished = False

    async def push(self, lane: Lane, text: str) -> str:
        with self._failing_closed():
            if lane not in self._lanes:
                self._lanes[lane] = [
                    _LaneText(plugin)
                    for plugin in self._plugins
                    if SegmentKind.TEXT in plugin.kinds
                ]

            stages = self._lanes[lane]

            if stages is None:
                raise ContractViolation("Text was pushed into a lane that is closed.")

            for stage in stages:
                text = stage.push(text)

            return text

    async def close(self, lane: Lane) -> str:
        with self._failing_closed():
            stages, self._lanes[lane] = self._lanes.get(lane), None
            text = ""

            # A lane without text is no segment of the unary answer either.
            if stages and stages[0].text:
                for stage in stages:
                    text = stage.push(text) + await stage.close(self._call, lane)

            return text

    async def judge(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        with self._failing_closed():
            self.judged += segments
            return await run_phase(self._plugins, self._call, segments)

    async def finish(self) -> None:
        if self.is_finished:
            return

        with self._failing_closed():
            if any(stages is not None for stages in self._lanes.values()):
                raise ContractViolation("A guard was finished while a lane of it was open.")

        self.is_finished = True
        self._on_finish()

    @contextmanager
    def _failing_closed(self) -> Generator[None]:
        if self._failure is not None:
            raise self._failure

        if self.is_finished:
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


@dataclass(slots=True)
class _LaneText:
    """One plugin over the text of one lane."""

    plugin: Plugin
    text: str = field(default="", init=False)
    decided: int = field(default=0, init=False)

    def push(self, text: str) -> str:
        self.text += text
        span = self.plugin.span

        # The window of every position below the frontier lies inside the text so far.
        return "" if span is None else self._release(len(self.text) - span + 1)

    async def close(self, call: PluginInput, lane: Lane) -> str:
        if self.plugin.span is not None:
            return self._release(len(self.text))

        pointer = f"/choices/{lane.choice}/message/{lane.channel}"
        whole = Segment(pointer=pointer, kind=SegmentKind.TEXT, role="assistant", text=self.text)
        (judged,) = await run_phase((self.plugin,), call, (whole,))
        return judged.text

    def _release(self, frontier: int) -> str:
        if frontier <= self.decided:
            return ""

        pieces: list[str] = []
        at = self.decided

        for finding in self.plugin.scan(self.text, at):
            if finding.start >= frontier:
                break

            if finding.replacement is None:
                raise refusal(self.plugin.name, finding.rule)

            pieces += (self.text[at : finding.start], finding.replacement)
            at = finding.end

        self.decided = max(at, frontier)
        return "".join((*pieces, self.text[at : self.decided]))


def _input(held: OpenPermit, phase: HookPhase) -> PluginInput:
    record = held.permit.record
    return PluginInput(
        context=held.admitted.context,
        target_kind=record.kind,
        target_name=record.name,
        phase=phase,
    )
