"""What the store keeps that the contract gives no type for: people, tokens and usage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from spindle_spi.admission import Attempt
from spindle_spi.context import TimeWindow

if TYPE_CHECKING:
    from spindle.store.spending import SpendKey


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """An API token as it is stored: everything but its text."""

    id: str
    name: str
    prefix: str
    """First characters of the text, to tell tokens apart."""
    hash: str
    """SHA-256 of the text, in hex."""
    created_at: float
    user_email: str | None = None
    is_admin: bool = False
    teams: tuple[str, ...] | None = ()
    """None means teams explicitly null; `()` means public records only."""
    permissions: tuple[str, ...] = ()
    """Of the role's or the person's permissions, those it has: `*` for all of them.

    Without a role and a person they are the token's own.
    """
    role: str = ""
    server_id: str | None = None
    ip_restrictions: tuple[str, ...] = ()
    time_restrictions: tuple[TimeWindow, ...] = ()
    expires_at: float | None = None
    revoked_at: float | None = None
    epoch: int = 1
    created_by: str | None = None
    """Who made it: an e-mail, or `token:<id>`; None for one that a start of the gateway made."""
    last_used_at: float | None = None
    last_used_ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """A user or a service account."""

    email: str
    """In lower case."""
    name: str = ""
    role: str | None = None
    """Platform-wide role."""
    is_admin: bool = False
    is_service: bool = False
    disabled_at: float | None = None
    origin: str = "api"
    """Who keeps it: api, oidc or config."""
    issuer: str | None = None
    subject: str | None = None
    """With `issuer`, who they are at an identity provider."""
    created_at: float = 0.0
    updated_at: float = 0.0
    authority: int = 0
    """Rises when something changes that their credentials are worth."""
    epoch: int = 0
    """Rises with every change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamRow:
    """A team."""

    name: str
    description: str = ""
    origin: str = "api"
    created_at: float = 0.0
    updated_at: float = 0.0
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipRow:
    """Who belongs to a team, in what role."""

    email: str
    team: str
    role: str
    origin: str = "api"
    """Who keeps it: api, or oidc when groups of an identity provider do."""
    created_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRow:
    """A custom role."""

    name: str
    description: str = ""
    permissions: tuple[str, ...] = ()
    created_at: float = 0.0
    updated_at: float = 0.0
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationRow:
    """An invitation to a team: everything but the text of its link."""

    id: str
    hash: str
    """SHA-256 of the text, in hex."""
    team: str
    role: str
    platform_role: str | None = None
    email: str | None = None
    """Whom it is for; None for whoever holds the link."""
    created_by: str
    created_at: float
    expires_at: float
    revoked_at: float | None = None
    accepted_at: float | None = None
    accepted_by: str | None = None


@dataclass(slots=True, kw_only=True)
class UsageRow:
    """One admitted call and how it ended. The field order is the column order.

    One is made for every call: not frozen, which would cost three times as much. Nobody changes it.
    """

    id: str
    """The permit's id: a row written twice counts once."""
    at: float
    request_id: str
    token_id: str | None
    user_email: str | None
    team: str | None
    kind: str
    record: str
    backend: str | None
    served_by: str | None
    action: str
    status: str
    stream: bool
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    estimated: bool
    cost_usd: float | None
    total_ms: float
    first_byte_ms: float | None
    error_code: str | None
    attempts: tuple[Attempt, ...] = ()
    caller_team: str | None = None
    """The one team of the caller that the call is charged to; `team` is the record's."""


class Spending(NamedTuple):
    """What one call spent of its budgets: the same of each."""

    keys: tuple[SpendKey, ...]
    """The budgets, holders and periods; calls of one caller share the tuple."""
    process: str
    nano: int
    """Billionths of a US dollar."""
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """An event that is to be published."""

    id: str
    at: float
    type: str
    body: str
    """The whole CloudEvent, as JSON."""


@dataclass(slots=True)
class Companion:
    """What is written together with a usage row, once."""

    id: str
    """The usage row's."""
    spends: Spending | None = None
    event: OutboxRow | None = None
