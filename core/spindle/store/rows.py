"""What the store keeps that the contract gives no type for: tokens and usage."""

from __future__ import annotations

from dataclasses import dataclass

from spindle_spi.admission import Attempt
from spindle_spi.context import TimeWindow


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
    """What the role grants, narrowed by the token's own subset."""
    role: str = ""
    server_id: str | None = None
    ip_restrictions: tuple[str, ...] = ()
    time_restrictions: tuple[TimeWindow, ...] = ()
    expires_at: float | None = None
    revoked_at: float | None = None
    epoch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One admitted call and how it ended. The field order is the column order."""

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
