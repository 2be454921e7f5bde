"""What every governed request has in common: one permit, settled once, however it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.surface.walks.lease import CLEAN_UP_SECONDS, LEASE_SECONDS
from spindle_mcp.upstream.connections.base import Request
from spindle_spi.admission import Attempt, Outcome, Permit, Status
from spindle_spi.errors import GatewayError, Internal, NotFound, PluginDenied
from spindle_spi.invocation import InputRequired
from spindle_spi.policy import Action
from spindle_spi.records import Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from spindle_mcp.surface.walks.request import GovernedRequest
    from spindle_spi.catalog import CatalogService
    from spindle_spi.ingress import Call
    from spindle_spi.types import JsonObject

_DEFAULT_SILENCE: Final = 60.0
_LONGEST_SILENCE: Final = LEASE_SECONDS / 2
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
    lease_id: str | None,
    carry_out: Callable[[Permit], Awaitable[JsonObject | InputRequired]],
) -> JsonObject | InputRequired:
    """Admit a call, carry it out and settle its permit by how that ended.

    Raises:
        NotFound: It is absent or hidden.
        GatewayError: It is not permitted, was refused, or failed.
    """
    try:
        permit = await catalog.admit(call.context, aim.target, aim.action, lease_id=lease_id)
    except NotFound as exc:
        raise aim.unknown from exc

    started = time.perf_counter()

    try:
        result = await carry_out(permit)
    except BaseException as exc:
        await _settle_failed(catalog, permit, exc, started)
        raise

    failed = not isinstance(result, InputRequired) and result.get("isError") is True
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


def failed_outcome(exc: BaseException) -> Outcome:
    """Return how a call ended that raised."""
    if isinstance(exc, PluginDenied):
        return Outcome(status=Status.DENIED, error_code=exc.code)

    if isinstance(exc, GatewayError):
        return Outcome(status=Status.ERROR, error_code=exc.code)

    if isinstance(exc, Exception):
        return Outcome(status=Status.ERROR, error_code=Internal.default_code)

    return Outcome(status=Status.CANCELLED)


def round_of(
    permit: Permit,
    request: GovernedRequest,
    deadline: float | None,
    method: str,
    params: JsonObject,
) -> Request:
    """Return what an upstream is asked under a permit, with what answers an earlier round."""
    if request.responses:
        params = {**params, "inputResponses": request.responses}

    if request.state is not None:
        params = {**params, "requestState": request.state}

    named = params.get("name", params.get("uri"))
    return Request(
        method=method,
        params=params,
        meta=request.meta,
        name=named if isinstance(named, str) else None,
        silence=_silence(permit),
        deadline=deadline,
        peer=request.peer,
        wants_progress=request.wants_progress,
        traceparent=request.traceparent,
        caller=request.caller,
    )


async def _settle_failed(
    catalog: CatalogService, permit: Permit, exc: BaseException, started: float
) -> None:
    outcome = failed_outcome(exc)
    outcome = replace(
        outcome,
        total_ms=_elapsed(started),
        attempts=(_attempt(permit, outcome.status.value, started),),
    )

    with anyio.move_on_after(CLEAN_UP_SECONDS, shield=True):
        try:
            await catalog.settle(permit.id, outcome)
        except NotFound:
            # The lease ended first, and the core has settled it as lost.
            return


def _silence(permit: Permit) -> float:
    seconds = permit.limits.timeout or _DEFAULT_SILENCE
    return min(seconds, _LONGEST_SILENCE)


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
