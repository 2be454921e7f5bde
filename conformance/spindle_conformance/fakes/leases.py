"""Leases in memory; a permit whose lease ends unsettled is settled as lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from spindle_spi.admission import Lease
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import NotFound
from spindle_spi.policy import is_same_caller

_IMPLICIT_SECONDS = 3600.0
_LONGEST_SECONDS = 24 * 3600.0

EndPermit = Callable[[str], None]


@dataclass(slots=True)
class _Held:
    caller: AuthenticatedContext
    ends_at: float
    is_explicit: bool
    permits: set[str] = field(default_factory=set[str])
    on_end: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])


class FakeLeases:
    """Open leases by id, those of requests among them; time is the clock it is given."""

    def __init__(self, end_permit: EndPermit, clock: Callable[[], float]) -> None:
        self._end_permit = end_permit
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._numbers = itertools.count(1)

    def open(self, context: AuthenticatedContext, seconds: float) -> Lease:
        """Open a lease that lives beyond its exchange, for a day at most."""
        lease_id = f"lease-{next(self._numbers)}"
        ends_at = self._clock() + _life(seconds)
        self._held[lease_id] = _Held(context, ends_at, is_explicit=True)
        return Lease(id=lease_id, expires_at=ends_at)

    def renew(self, lease_id: str, seconds: float) -> Lease:
        """Keep a lease alive.

        Raises:
            NotFound: It has ended.
        """
        self.end_expired()
        held = self._held.get(lease_id)

        if held is None:
            raise _ended()

        held.ends_at = self._clock() + _life(seconds)
        return Lease(id=lease_id, expires_at=held.ends_at)

    def attach(self, context: AuthenticatedContext, lease_id: str | None, permit_id: str) -> str:
        """Put a permit under a lease, the request's own by default; return the lease's id.

        Raises:
            NotFound: The named lease has ended or is another caller's.
        """
        lease_id = lease_id or context.trace.request_id
        self._hold(context, lease_id).permits.add(permit_id)
        return lease_id

    def on_end(
        self, context: AuthenticatedContext, lease_id: str | None, action: Callable[[], None]
    ) -> None:
        """Run `action` when a lease ends, the request's own by default.

        Raises:
            NotFound: The named lease has ended or is another caller's.
        """
        self._hold(context, lease_id or context.trace.request_id).on_end.append(action)

    def detach(self, lease_id: str, permit_id: str) -> None:
        """Forget a settled permit; a request's own lease goes with its last permit."""
        held = self._held.get(lease_id)

        if held is None:
            return

        held.permits.discard(permit_id)

        if not held.is_explicit and not held.permits and not held.on_end:
            del self._held[lease_id]

    def has_open(self, lease_id: str) -> bool:
        """Tell whether ending this lease would do anything."""
        return lease_id in self._held

    def opened(self) -> tuple[str, ...]:
        """Return the leases that were opened by name and have not ended."""
        self.end_expired()
        return tuple(key for key, held in self._held.items() if held.is_explicit)

    def end(self, lease_id: str) -> None:
        """End a lease; its permits are settled as lost. Idempotent."""
        held = self._held.pop(lease_id, None)

        if held is None:
            return

        for action in held.on_end:
            action()

        for permit_id in sorted(held.permits):
            self._end_permit(permit_id)

    def end_expired(self) -> None:
        """End the leases nobody renewed in time; every look at a lease does so first."""
        now = self._clock()

        for lease_id in [key for key, held in self._held.items() if held.ends_at <= now]:
            self.end(lease_id)

    def _hold(self, context: AuthenticatedContext, lease_id: str) -> _Held:
        self.end_expired()
        held = self._held.get(lease_id)
        ends_at = self._clock() + _IMPLICIT_SECONDS

        if held is None:
            if lease_id != context.trace.request_id:
                raise _ended()

            held = self._held[lease_id] = _Held(context, ends_at, is_explicit=False)
            return held

        if not is_same_caller(held.caller, context):
            raise _ended()

        if not held.is_explicit:
            held.ends_at = ends_at

        return held


def _life(seconds: float) -> float:
    # Written so that NaN is no life at all.
    return min(seconds, _LONGEST_SECONDS) if seconds > 0 else 0.0


def _ended() -> NotFound:
    return NotFound("The lease has ended.", code="core.lease.not_found")
