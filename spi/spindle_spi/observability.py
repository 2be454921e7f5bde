"""ObservabilityService: logs, measures, traces and audit, through the core's redaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from spindle_spi.context import AuthenticatedContext, TraceContext
from spindle_spi.types import Json, JsonObject


class Level(StrEnum):
    """Log levels."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """Who did what to which record, and how it was decided."""

    action: str
    target: str
    decision: str
    reason: str = ""
    data: JsonObject = field(default_factory=dict[str, Json])


class ObservabilityService(ABC):
    """Never blocks and never fails the caller; labels must have few values."""

    @abstractmethod
    def log(self, level: Level, event: str, fields: Mapping[str, Json] | None = None) -> None:
        """Write a structured log line; secrets in it are masked by the core."""

    @abstractmethod
    def count(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add to a counter."""

    @abstractmethod
    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Add a value to a histogram."""

    @abstractmethod
    def trace(self, context: AuthenticatedContext) -> TraceContext:
        """Return the trace context to send on to an upstream."""

    @abstractmethod
    async def audit(self, context: AuthenticatedContext, event: AuditEvent) -> None:
        """Record an audit event."""
