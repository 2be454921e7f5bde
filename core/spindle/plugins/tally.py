"""What plugins do, counted; what they find in one call, logged once per rule. Never the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle.plugins.active import ActivePlugin
    from spindle_spi.plugin import PluginInput

Verdict: TypeAlias = Literal["replaced", "denied", "failed"]

CALLS = "spindle_plugin_calls_total"
FINDINGS = "spindle_plugin_findings_total"
DENIALS = "spindle_plugin_denials_total"
FAILURES = "spindle_plugin_failures_total"
SECONDS = "spindle_plugin_seconds"
HELD = "spindle_plugin_held_streams_total"

_MAX_RULES = 100
"""Rules logged per call; a plugin that makes up rules fills no log."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Meter(Protocol):
    """Counters and histograms; `Metrics` is one."""

    def count(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add `value` to the counter `name`."""

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Add `value` to the histogram `name`."""


class Tally:
    """The findings of one call."""

    def __init__(self, call: PluginInput, meter: Meter | None, *, logs: bool = True) -> None:
        self._call = call
        self._meter = meter
        self._logs = logs
        self._logged: set[tuple[str, str, Verdict]] = set()

    def add(self, active: ActivePlugin, rule: str, verdict: Verdict) -> None:
        """Record one finding: what enforcing it does, or would do under `permissive`."""
        mode = active.mode.value

        if self._meter is not None:
            labels = {"plugin": active.name, "rule": rule, "mode": mode, "verdict": verdict}
            self._meter.count(FINDINGS, 1.0, labels)

        key = (active.name, rule, verdict)

        if not self._logs or key in self._logged or len(self._logged) >= _MAX_RULES:
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

    def judged(self, active: ActivePlugin, seconds: float) -> None:
        """Record one look of a plugin, at a request, an answer or one text of a stream."""
        if self._meter is not None:
            labels = {"plugin": active.name}
            self._meter.count(CALLS, 1.0, {"plugin": active.name, "phase": self._call.phase.value})
            self._meter.observe(SECONDS, seconds, labels)

    def denied(self, active: ActivePlugin) -> None:
        """Record content refused by an enforced plugin."""
        self._count(DENIALS, active)

    def failed(self, active: ActivePlugin, code: str) -> None:
        """Record a failure of the plugin."""
        self.add(active, code, "failed")
        self._count(FAILURES, active)

    def held(self, active: ActivePlugin) -> None:
        """Record a text of a stream that waits for its end."""
        self._count(HELD, active)

    def _count(self, name: str, active: ActivePlugin) -> None:
        if self._meter is not None:
            self._meter.count(name, 1.0, {"plugin": active.name})
