"""What happened at a fake host, in order, for a test to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spindle_spi.admission import Estimate, Outcome, Permit
from spindle_spi.context import AuthenticatedContext
from spindle_spi.invocation import Invocation
from spindle_spi.observability import AuditEvent, Level
from spindle_spi.plugin import HookPhase, Segment
from spindle_spi.policy import Action
from spindle_spi.records import CatalogRecord, Kind, LeftOut, PublishedRecord
from spindle_spi.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A call that was let in."""

    permit: Permit
    context: AuthenticatedContext
    action: Action
    estimate: Estimate | None
    module: str
    """Who asked, and alone may settle; empty for a call the host made for a module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A call that ended, as it is recorded: what was settled unhooked is an error here."""

    permit: Permit
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRun:
    """One phase of plugins over one call, with what they were shown."""

    permit: Permit
    phase: HookPhase
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """One log line."""

    module: str
    level: Level
    event: str
    fields: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One value for a counter or a histogram."""

    name: str
    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One audit event."""

    context: AuthenticatedContext
    event: AuditEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a module said its source has."""

    module: str
    source: str
    records: tuple[PublishedRecord, ...]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Journal:
    """Everything that happened. Tests may clear a list between two steps."""

    listed: list[Kind] = field(default_factory=list[Kind])
    """The kinds that were listed, refused or not."""
    admitted: list[Admitted] = field(default_factory=list[Admitted])
    settled: list[Settled] = field(default_factory=list[Settled])
    invoked: list[Invocation] = field(default_factory=list[Invocation])
    """Cross-protocol calls as they were asked for, admitted or not."""
    hooks: list[HookRun] = field(default_factory=list[HookRun])
    """Phases as they began, by `PluginService` and round cross-protocol calls."""
    published: list[Published] = field(default_factory=list[Published])
    opened: list[CatalogRecord] = field(default_factory=list[CatalogRecord])
    """Gateways that callers opened."""
    logged: list[Logged] = field(default_factory=list[Logged])
    counted: list[Measured] = field(default_factory=list[Measured])
    observed: list[Measured] = field(default_factory=list[Measured])
    audited: list[Audited] = field(default_factory=list[Audited])
    secrets: list[str] = field(default_factory=list[str])
    """Names of the secrets that were asked for, given or not."""
