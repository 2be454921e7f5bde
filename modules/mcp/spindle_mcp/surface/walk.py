"""What every governed request has in common: one permit, settled once, however it ends.

With it the lease of a request that outlives its HTTP exchange, and the count of those in flight.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.surface.peers import WrappedPeer
from spindle_spi.admission import Attempt, Outcome, Permit, Status
from spindle_spi.errors import FailedPrecondition, GatewayError, Internal, NotFound, PluginDenied
from spindle_spi.invocation import Progress
from spindle_spi.policy import Action
from spindle_spi.records import Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from spindle_mcp.upstream.base import Peer
    from spindle_spi.catalog import CatalogService
    from spindle_spi.ingress import Call
    from spindle_spi.services import Services
    from spindle_spi.types import JsonObject

_DEFAULT_SILENCE: Final = 60.0
_LEASE_SECONDS: Final = 3600.0
_LONGEST_SILENCE: Final = _LEASE_SECONDS / 2
_CLEAN_UP_SECONDS: Final = 5.0
_MS: Final = 1000.0


class InFlight:
    """How many requests are being carried out; enter it for each."""

    def __init__(self) -> None:
        self._idle = anyio.Event()
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.count -= 1

        if not self.count:
            self._idle.set()

    async def idle(self) -> None:
        """Return when no request is in flight."""
        while self.count:
            self._idle = anyio.Event()
            await self._idle.wait()


@dataclass(frozen=True, slots=True)
class Aim:
    """What a request is to be admitted to, and the answer when that is absent or hidden."""

    target: Target
    action: Action
    unknown: NotFound


async def admitted(
    catalog: CatalogService,
    call: Call,
    aim: Aim,
    lease: Lease | None,
    carry_out: Callable[[Permit], Awaitable[JsonObject]],
) -> JsonObject:
    """Admit a call, carry it out and settle its permit by how that ended.

    Raises:
        NotFound: It is absent or hidden.
        GatewayError: It is not permitted, was refused, or failed.
    """
    try:
        permit = await catalog.admit(
            call.context, aim.target, aim.action, lease_id=None if lease is None else lease.id
        )
    except NotFound as exc:
        raise aim.unknown from exc

    started = time.perf_counter()

    try:
        result = await carry_out(permit)
    except BaseException as exc:
        await _settle_failed(catalog, permit, exc, started)
        raise

    failed = result.get("isError") is True
    await catalog.settle(
        permit.id,
        Outcome(
            status=Status.ERROR if failed else Status.OK,
            total_ms=_elapsed(started),
            attempts=(_attempt(permit, "error" if failed else "ok", started),),
            error_code="mcp.tool.error" if failed else None,
        ),
    )
    return result


def answered(answer: JsonObject) -> JsonObject:
    """Return an upstream's answer if it is one, and no question.

    Raises:
        FailedPrecondition: It asks for more input.
    """
    if answer.get("resultType", "complete") != "complete":
        raise asks_for_more()

    return answer


def asks_for_more() -> FailedPrecondition:
    """Return the error for a question that nobody here can answer."""
    return FailedPrecondition(
        "The tool asks for more input, which is not relayed.", code="mcp.input_required"
    )


def failed_outcome(exc: BaseException) -> Outcome:
    """Return how a call ended that raised."""
    if isinstance(exc, PluginDenied):
        return Outcome(status=Status.DENIED, error_code=exc.code)

    if isinstance(exc, GatewayError):
        return Outcome(status=Status.ERROR, error_code=exc.code)

    if isinstance(exc, Exception):
        return Outcome(status=Status.ERROR, error_code=Internal.default_code)

    return Outcome(status=Status.CANCELLED)


class Lease:
    """A lease of one call that outlives its HTTP exchange; progress renews it."""

    def __init__(self, services: Services, call: Call) -> None:
        self._catalog = services.catalog
        self._context = call.context
        self._renew_at = 0.0
        self.id = ""

    async def __aenter__(self) -> Lease:
        self.id = (await self._catalog.open_lease(self._context, _LEASE_SECONDS)).id
        self._renew_at = time.monotonic() + _LEASE_SECONDS / 3
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.move_on_after(_CLEAN_UP_SECONDS, shield=True):
            await self._catalog.close_lease(self.id)

    async def renew(self) -> None:
        """Keep it alive, if it is time."""
        now = time.monotonic()

        if now >= self._renew_at:
            self._renew_at = now + _LEASE_SECONDS / 3
            await self._catalog.renew_lease(self.id, _LEASE_SECONDS)


class Renewing(WrappedPeer):
    """Progress keeps the lease of the call alive."""

    def __init__(self, peer: Peer, lease: Lease) -> None:
        super().__init__(peer)
        self._lease = lease

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        await self._lease.renew()
        await self._peer.progress(update)


class WithoutMessage(WrappedPeer):
    """A message is content, and nobody judges it on its way: only the numbers pass."""

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        await self._peer.progress(Progress(progress=update.progress, total=update.total))


def peer_for(peer: Peer | None, permit: Permit, lease: Lease | None) -> Peer | None:
    """Return who asked, as an upstream may reach them under a permit."""
    if peer is not None and permit.hooks.answer:
        peer = WithoutMessage(peer)

    if peer is not None and lease is not None:
        peer = Renewing(peer, lease)

    return peer


def silence_of(permit: Permit) -> float:
    """Return the seconds an upstream may stay silent under a permit."""
    seconds = permit.limits.timeout or _DEFAULT_SILENCE
    return min(seconds, _LONGEST_SILENCE)


async def _settle_failed(
    catalog: CatalogService, permit: Permit, exc: BaseException, started: float
) -> None:
    outcome = failed_outcome(exc)
    outcome = replace(
        outcome,
        total_ms=_elapsed(started),
        attempts=(_attempt(permit, outcome.status.value, started),),
    )

    with anyio.move_on_after(_CLEAN_UP_SECONDS, shield=True):
        try:
            await catalog.settle(permit.id, outcome)
        except NotFound:
            # The lease ended first, and the core has settled it as lost.
            return


def _attempt(permit: Permit, outcome: str, started: float) -> Attempt:
    backend = permit.backend.name if permit.backend is not None else ""
    return Attempt(
        backend=backend,
        target=permit.record.name,
        outcome=outcome,
        milliseconds=_elapsed(started),
    )


def _elapsed(started: float) -> float:
    return (time.perf_counter() - started) * _MS
