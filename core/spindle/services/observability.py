"""ObservabilityService: one module's logs, measures and audit events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from spindle.audit import Audit, AuditEntry, Decision
from spindle_spi.observability import AuditEvent, Level, ObservabilityService

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle.telemetry.metrics import Metrics
    from spindle_spi.context import AuthenticatedContext, TraceContext
    from spindle_spi.types import Json

_AUDIT = structlog.get_logger("spindle.audit")


_RESERVED = frozenset({"event", "level", "logger", "timestamp", "exc_info", "stack_info", "self"})
"""Words the logger has a meaning of its own for; a module's fields of these names are renamed."""


class Observability(ObservabilityService):
    """Everything a module says goes through the core's logger and its redaction."""

    def __init__(self, *, module_id: str, metrics: Metrics, audit: Audit) -> None:
        self._module_id = module_id
        self._kept = audit
        self._metrics = metrics
        self._log = structlog.get_logger(f"spindle.module.{module_id}")

    def log(self, level: Level, event: str, fields: Mapping[str, Json] | None = None) -> None:
        said = {
            (f"{name}_" if name in _RESERVED else name): value
            for name, value in (fields or {}).items()
        }
        self._log.log(_LEVELS[level], event, **said)

    def count(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        self._metrics.count(name, value, labels)

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        self._metrics.observe(name, value, labels)

    def trace(self, context: AuthenticatedContext) -> TraceContext:
        return context.trace

    async def audit(self, context: AuthenticatedContext, event: AuditEvent) -> None:
        _AUDIT.info(
            event.action,
            target=event.target,
            decision=event.decision,
            reason=event.reason,
            token_id=context.subject.token_id,
            user=context.subject.user_email,
            request_id=context.trace.request_id,
            data=event.data,
        )
        self._kept.note(
            context,
            AuditEntry(
                action=f"{self._module_id}.{event.action}",
                target=event.target,
                target_kind="module",
                decision=_DECISIONS.get(event.decision, "failed"),
                reason=event.reason or event.decision,
                after=event.data or None,
            ),
        )


_DECISIONS: Mapping[str, Decision] = {
    "allow": "allowed",
    "allowed": "allowed",
    "deny": "denied",
    "denied": "denied",
}
"""What a module says, in the words of the audit log."""


_LEVELS = {Level.DEBUG: 10, Level.INFO: 20, Level.WARNING: 30, Level.ERROR: 40}
