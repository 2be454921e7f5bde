"""What a decision of the core looks like: estimate in, permit out, outcome back."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum

from spindle_spi._construction import quickly_made
from spindle_spi.plugin import HookPhase, HookPlan, phases_of
from spindle_spi.records import CatalogRecord, GatewaySpec, ProviderSpec
from spindle_spi.secret import SecretRef


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a call may cost at most, as far as its surface can tell before it starts."""

    input_bytes: int = 0
    max_output_tokens: int | None = None
    choices: int = 1
    images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds the owner of the call keeps."""

    timeout: float | None = None
    """Seconds the upstream may stay silent."""
    max_attempts: int = 1


def limits_of(backend: CatalogRecord | None, attempts: int) -> Limits:
    """Return the limits of a call on a backend; of `attempts` only a model's may use several."""
    match backend.spec if backend is not None else None:
        case ProviderSpec(long_timeout=seconds):
            return Limits(timeout=seconds, max_attempts=attempts)
        case GatewaySpec(timeout=seconds):
            return Limits(timeout=seconds)
        case _:
            return Limits()


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave to do one thing to one record, once, settled exactly once.

    It belongs to a lease. When the lease ends before `CatalogService.settle` was called,
    the core settles the permit as `lost`.
    """

    id: str
    lease_id: str
    record: CatalogRecord
    backend: CatalogRecord | None = None
    """What serves the record: a model's provider, a tool's gateway."""
    alternatives: tuple[CatalogRecord, ...] = ()
    """Fallbacks this caller may use, in order."""
    alternative_backends: tuple[CatalogRecord, ...] = ()
    """The backend of each alternative."""
    secrets: tuple[SecretRef, ...] = ()
    hooks: HookPlan = HookPlan()
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A short allowance of admissions a sidecar spends locally by the pure policy functions.

    Bound to one epoch of the credential and one of the record; a second at most. The core takes
    it back earlier by `CatalogService.revocations`.
    """

    id: str
    permit: Permit
    """What each admission gets; only the id is its own."""
    token_epoch: int
    admissions: int
    token_allowance: int
    """Input and output tokens of all admissions together."""
    expires_at: float
    """Seconds since the epoch."""

    def spendable(
        self, *, token_epoch: int, record_epoch: int, spent: int, tokens: int, now: float
    ) -> bool:
        """Tell whether one more admission may be taken after `spent` of them.

        `tokens` is what those used or reserved, with the most that the next one may use.
        """
        return (
            token_epoch == self.token_epoch
            and record_epoch == self.permit.record.epoch
            and spent < self.admissions
            and tokens <= self.token_allowance
            and now < self.expires_at
        )

    def admission(self, spent: int) -> Permit:
        """Return the permit of the next admission; it is settled like any other."""
        return replace(self.permit, id=f"{self.id}.{spent}")


class Status(StrEnum):
    """How an admitted call ended."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    PARTIAL = "partial"
    """The answer began and did not end."""
    DENIED = "denied"
    """A plugin refused request or answer."""
    LOST = "lost"
    """Nobody settled it; set by the core alone."""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """Tokens of one call; `input_tokens` includes cached ones."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    """True when the upstream gave no figure."""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one backend."""

    backend: str
    target: str
    outcome: str
    milliseconds: float
    status: int | None = None
    """HTTP status of the answer, when there was one."""
    waited_ms: float = 0.0
    """Milliseconds waited before it, after the attempt that it repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What a call for embeddings made; of the texts themselves only a hash."""

    count: int
    """Vectors of the answer."""
    dimension: int | None = None
    """Numbers in each of them; None when there is none."""
    input_hash: str | None = None
    cached_count: int = 0
    """How many of the vectors were kept from an earlier call."""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an admitted call; the core prices and records it."""

    status: Status
    usage: TokenUsage | None = None
    attempts: tuple[Attempt, ...] = ()
    total_ms: float = 0.0
    first_byte_ms: float | None = None
    stream: bool = False
    served_by: str | None = None
    """Name of the record that answered, when it was an alternative."""
    finish_reasons: tuple[str, ...] = ()
    error_code: str | None = None
    idempotency_key: str | None = None
    """What makes an equal call this call, for who looks for repetitions."""
    cache_hit: bool = False
    """True when nothing was asked of an upstream."""
    embedded: Embedded | None = None
    response_id: str | None = None
    """What the answer calls itself."""
    response_bytes: int | None = None
    """Bytes of the answer's body that were handed to the client; None when there were none."""


def is_unhooked(permit: Permit, outcome: Outcome, receipts: AbstractSet[HookPhase]) -> bool:
    """Tell whether a call says it went well though a phase with plugins left no receipt."""
    phases = phases_of(permit.record.kind)

    if phases is None or outcome.status is not Status.OK:
        return False

    return any(permit.hooks.names_in(phase) and phase not in receipts for phase in phases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A permit's id with its outcome, for settling many at once."""

    permit_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What keeps permits alive beyond one HTTP exchange: a detached turn, a session's request."""

    id: str
    expires_at: float
    """Seconds since the epoch; renew before."""
