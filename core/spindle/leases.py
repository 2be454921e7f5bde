"""Leases keep permits alive; a permit whose lease ends unsettled is settled as lost."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from spindle_spi.admission import Lease
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import NotFound
from spindle_spi.policy import is_same_caller

_IMPLICIT_SECONDS = 3600.0
"""Life of a lease nobody ends, after its last admission; a request's ends with its handler."""
_LONGEST_SECONDS = 24 * 3600.0
"""What is renewed less often than this is not alive."""
_SWEEP_SECONDS = 5.0

EndPermit = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class _Held:
    caller: AuthenticatedContext
    ends_at: float
    """On the monotonic clock: a clock that is set neither ends a lease nor keeps it."""
    is_explicit: bool
    permits: set[str]
    on_end: list[Callable[[], None]]


class Leases:
    """Open leases by id. `end_permit` is what becomes of a permit left over; it never raises."""

    def __init__(self, end_permit: EndPermit) -> None:
        self._end_permit = end_permit
        self._held: dict[str, _Held] = {}

    def open(self, context: AuthenticatedContext, seconds: float) -> Lease:
        """Open a lease that lives beyond its HTTP exchange, for a day at most."""
        lease_id = f"lease_{secrets.token_hex(12)}"
        seconds = _life(seconds)
        self._held[lease_id] = _held(context, time.monotonic() + seconds, is_explicit=True)
        return Lease(id=lease_id, expires_at=time.time() + seconds)

    def renew(self, lease_id: str, seconds: float) -> Lease:
        """Keep a lease alive.

        Raises:
            NotFound: It has ended.
        """
        held = self._held.get(lease_id)
        now = time.monotonic()

        if held is None or held.ends_at <= now:
            raise _ended()

        seconds = _life(seconds)
        held.ends_at = now + seconds
        return Lease(id=lease_id, expires_at=time.time() + seconds)

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

    def _hold(self, context: AuthenticatedContext, lease_id: str) -> _Held:
        held = self._held.get(lease_id)
        now = time.monotonic()

        if held is None:
            if lease_id != context.trace.request_id:
                raise _ended()

            held = _held(context, now + _IMPLICIT_SECONDS, is_explicit=False)
            self._held[lease_id] = held
            return held

        if held.ends_at <= now or not is_same_caller(held.caller, context):
            raise _ended()

        if not held.is_explicit:
            held.ends_at = now + _IMPLICIT_SECONDS

        return held

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

    async def end(self, lease_id: str) -> None:
        """End a lease; its permits are settled as lost. Idempotent."""
        held = self._held.pop(lease_id, None)

        if held is None:
            return

        try:
            for action in held.on_end:
                action()
        finally:
            # Nobody else knows these permits any more: a cancelled caller ends them all the same.
            with anyio.CancelScope(shield=True):
                for permit_id in tuple(held.permits):
                    await self._end_permit(permit_id)

    async def run(self) -> None:
        """End expired leases until cancelled."""
        while True:
            await anyio.sleep(_SWEEP_SECONDS)
            await self.end_expired()

    async def end_expired(self) -> None:
        """End the leases nobody renewed in time."""
        now = time.monotonic()

        for lease_id in [key for key, held in self._held.items() if held.ends_at <= now]:
            held = self._held.get(lease_id)

            # Ending one awaits; meanwhile another may have gone.
            if held is not None and held.ends_at <= now:
                await self.end(lease_id)

    async def close(self) -> None:
        """End everything."""
        for lease_id in tuple(self._held):
            await self.end(lease_id)


def _held(caller: AuthenticatedContext, ends_at: float, *, is_explicit: bool) -> _Held:
    # One is made for every call, and `set[str]` as a default factory takes ten times as long.
    return _Held(caller, ends_at, is_explicit, set(), [])


def _life(seconds: float) -> float:
    # Written so that NaN is no life at all.
    return min(seconds, _LONGEST_SECONDS) if seconds > 0 else 0.0


def _ended() -> NotFound:
    return NotFound("The lease has ended.", code="core.lease.not_found")
