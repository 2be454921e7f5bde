"""One configured plugin as it runs: the plugin and what the operator decided about it."""

from __future__ import annotations

from dataclasses import dataclass

from spindle.plugins.conditions import EVERYWHERE, Conditions
from spindle_spi.plugin import HookPhase, Plugin, PluginMode, SegmentKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivePlugin:
    """A plugin that is not disabled."""

    name: str
    """What the operator calls it; hook plans, logs and metrics say this name."""
    plugin: Plugin
    mode: PluginMode = PluginMode.ENFORCE
    phases: frozenset[HookPhase]
    conditions: Conditions = EVERYWHERE
    budget_seconds: float | None = None
    """Time for `inspect`; None is the registry's."""
    fails_open: bool = False
    """Whether content passes as it came when the plugin fails."""
    is_unusable: bool = False
    """Whether the entry could not be built: it denies in its place, whatever `fails_open` says."""

    @property
    def is_enforced(self) -> bool:
        """Whether its verdicts change what passes."""
        return self.mode is PluginMode.ENFORCE

    @property
    def is_scanning(self) -> bool:
        """Whether its verdicts depend on bounded stretches of text."""
        return self.plugin.span is not None


class Unusable(Plugin):
    """Stands where a plugin should be that cannot be built. It judges nothing: nothing passes."""

    name = "unusable"
    kinds = frozenset(SegmentKind)
    phases = frozenset(HookPhase)


def unusable(
    name: str,
    *,
    mode: PluginMode = PluginMode.ENFORCE,
    phases: frozenset[HookPhase] = Unusable.phases,
    conditions: Conditions = EVERYWHERE,
) -> ActivePlugin:
    """Return what stands in the place of an entry that cannot be built."""
    return ActivePlugin(
        name=name,
        plugin=Unusable(),
        mode=mode,
        phases=phases,
        conditions=conditions,
        is_unusable=True,
    )
