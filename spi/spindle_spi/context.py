"""Who calls, what they see and may do, and the trace of the call: the caller as data."""

from __future__ import annotations

from dataclasses import dataclass

from spindle_spi._construction import quickly_made


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The caller as the core resolved it; never a raw claim."""

    user_email: str | None = None
    """The person behind the call; None for a service token."""
    is_admin: bool = False
    token_teams: tuple[str, ...] | None = ()
    """None means teams explicitly null (with `is_admin`: everything); `()` means public only."""
    token_id: str | None = None
    """The credential's identity for limits and usage; None for an anonymous caller."""
    token_epoch: int = 0
    """Rises when the credential changes; a call made under an older epoch is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeWindow:
    """A weekly window in which a credential holds."""

    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    """ISO weekdays minus one: Monday is 0."""
    start_minute: int = 0
    """Minutes after midnight UTC, inclusive."""
    end_minute: int = 24 * 60
    """Minutes after midnight UTC, exclusive; a window over midnight is two windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamGrant:
    """What a caller may do with what belongs to one team."""

    team: str
    permissions: tuple[str, ...]
    """As those of `VisibilityScope`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibilityScope:
    """What narrows the caller further than who they are."""

    server_id: str | None = None
    """Id of the virtual server the call came through or the token is bound to."""
    permissions: tuple[str, ...] = ()
    """Granted permissions: `family.action`, `family.*` or `*`. They hold for every record."""
    ip_restrictions: tuple[str, ...] = ()
    """CIDR ranges; empty means anywhere."""
    time_restrictions: tuple[TimeWindow, ...] = ()
    """Windows; empty means always."""
    team_grants: tuple[TeamGrant, ...] = ()
    """What a role in a team adds, for that team's records alone. At most one entry for a team."""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """The identity of one call across logs, spans, usage and errors."""

    request_id: str
    correlation_id: str | None = None
    traceparent: str | None = None
    """W3C trace context, when the client sent a valid one or the call is sampled."""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedContext:
    """The caller, resolved by the core; every SPI call that depends on the caller carries it."""

    subject: Subject
    visibility_scope: VisibilityScope
    trace: TraceContext
