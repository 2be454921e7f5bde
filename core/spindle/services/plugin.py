"""PluginService: runs a permit's hooks and leaves their receipts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.plugins import open_guard, run_phase
from spindle_spi.plugin import (
    HookPhase,
    PluginInput,
    PluginService,
    Segment,
    StreamGuard,
    phases_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.admission import Admission, OpenPermit
    from spindle_spi.context import AuthenticatedContext


class Plugins(PluginService):
    """The plugins as a module reaches them: through a permit it holds."""

    def __init__(self, *, admission: Admission) -> None:
        self._admission = admission

    async def execute_hook(
        self,
        context: AuthenticatedContext,
        permit_id: str,
        phase: HookPhase,
        segments: Sequence[Segment],
    ) -> tuple[Segment, ...]:
        held = self._admission.open_permit(context, permit_id)
        names = held.permit.hooks.names_in(phase)
        judged = await run_phase(held.plugins, names, _input(held, phase), segments)
        held.receipts.add(phase)
        return judged

    async def open_guard(self, context: AuthenticatedContext, permit_id: str) -> StreamGuard:
        held = self._admission.open_permit(context, permit_id)
        _, phase = phases_of(held.permit.record.kind) or (None, HookPhase.POST_INVOKE)
        return open_guard(
            held.plugins,
            held.permit.hooks.answer,
            _input(held, phase),
            lambda: held.receipts.add(phase),
        )


def _input(held: OpenPermit, phase: HookPhase) -> PluginInput:
    record = held.permit.record
    return PluginInput(
        context=held.context, target_kind=record.kind, target_name=record.name, phase=phase
    )
