"""What plugins found during one call: counted each time, logged once per rule. Never the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle.plugins.active import ActivePlugin
    from spindle_spi.plugin import PluginInput

Verdict: TypeAlias = Literal["replaced", "denied", "failed"]

METRIC = "spindle_plugin_findings_total"

_MAX_RULES = 100
"""Rules logged per call; a plugin that makes up rules fills no log."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Count(Protocol):
    """Adds to a counter; `Metrics.count` is one."""

    def __call__(
        self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None
    ) -> None:
        """Add `value` to the counter `name`."""


class Tally:
    """The findings of one call."""

    def __init__(self, call: PluginInput, count: Count | None) -> None:
        self._call = call
        self._count = count
        self._logged: set[tuple[str, str, Verdict]] = set()

    def add(self, active: ActivePlugin, rule: str, verdict: Verdict) -> None:
        """Record one finding: what enforcing it does, or would do under `permissive`."""
        mode = active.mode.value

        if self._count is not None:
            labels = {"plugin": active.name, "rule": rule, "mode": mode, "verdict": verdict}
            self._count(METRIC, 1.0, labels)

        key = (active.name, rule, verdict)

        if key in self._logged or len(self._logged) >= _MAX_RULES:
            return

        self._logged.add(key)
        _log.info(
            "plugin finding",
            plugin=active.name,
            rule=rule,
            mode=mode,
            verdict=verdict,
            phase=self._call.phase.value,
            target_kind=self._call.target_kind.value,
            target=self._call.target_name,
            request_id=self._call.context.trace.request_id,
        )
