"""One configured plugin as it runs: the plugin and what the operator decided about it."""

from __future__ import annotations

from dataclasses import dataclass

from spindle_spi.plugin import HookPhase, Plugin, PluginMode


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivePlugin:
    """A plugin that is not disabled."""

    name: str
    """What the operator calls it; hook plans, logs and metrics say this name."""
    plugin: Plugin
    mode: PluginMode = PluginMode.ENFORCE
    phases: frozenset[HookPhase]

    @property
    def is_enforced(self) -> bool:
        """Whether its verdicts change what passes."""
        return self.mode is PluginMode.ENFORCE

    @property
    def is_scanning(self) -> bool:
        """Whether its verdicts depend on bounded stretches of text."""
        return self.plugin.span is not None
