"""Plugins over one phase of one call: which ones, and what becomes of the content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_spi.errors import ContractViolation, Origin
from spindle_spi.plugin import HookPlan, Plugin, PluginInput, Segment, phases_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.records import Kind


def plan_of(plugins: Sequence[Plugin], kind: Kind) -> HookPlan:
    """Return which plugins look at a call on a record of `kind`."""
    phases = phases_of(kind)

    if phases is None:
        return HookPlan()

    request, answer = (
        tuple(plugin.name for plugin in plugins if phase in plugin.phases) for phase in phases
    )
    return HookPlan(request=request, answer=answer)


def named(plugins: Sequence[Plugin], names: Sequence[str]) -> tuple[Plugin, ...]:
    """Return the plugins that a plan names.

    Raises:
        ContractViolation: One of them is not here any more; what it should judge must not pass.
    """
    by_name = {plugin.name: plugin for plugin in plugins}

    if not by_name.keys() >= set(names):
        raise ContractViolation("A plan names a plugin that is not active.", origin=Origin.CORE)

    return tuple(by_name[name] for name in names)


async def run_phase(
    plugins: Sequence[Plugin], call: PluginInput, segments: Sequence[Segment]
) -> tuple[Segment, ...]:
    """Run plugins in order, each over the whole segments of the kinds it handles.

    What a plugin raises goes on to the test, defects too, where the core would hide them.

    Raises:
        PluginDenied: A plugin refuses the content.
        ContractViolation: A plugin did not return the segments it was given.
    """
    current = list(segments)

    for plugin in plugins:
        places = [at for at, segment in enumerate(current) if segment.kind in plugin.kinds]

        if not places:
            continue

        shown = tuple(current[at] for at in places)
        judged = await plugin.inspect(call, shown)

        if [(one.pointer, one.kind) for one in judged] != [(s.pointer, s.kind) for s in shown]:
            raise ContractViolation(
                f"The plugin {plugin.name} did not return the segments it was given.",
                origin=Origin.PLUGIN,
            )

        for at, segment in zip(places, judged, strict=True):
            current[at] = segment

    return tuple(current)
