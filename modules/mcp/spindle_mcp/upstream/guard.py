"""What stands before one upstream, so that it cannot take more than its share of anything.

Only so many requests run at once, only so many wait for their turn, and after failures in a row
nobody waits at all. What it refuses has not reached the upstream.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.upstream.breaker import Breaker
from spindle_mcp.upstream.connections.relay import seconds_left
from spindle_mcp.upstream.faults import HttpRefused, SessionLost, Unreachable
from spindle_spi.errors import GatewayError, Origin, Unavailable, UpstreamError, UpstreamTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_mcp.config import McpSettings
    from spindle_mcp.upstream.connections.base import Request
    from spindle_spi.types import JsonObject

BUSY_SECONDS: Final = 1.0
DOWN: Final = "mcp.gateway.down"


class Guard:
    """One upstream's."""

    def __init__(self, gateway: str, settings: McpSettings) -> None:
        self._gateway = gateway
        self._turns = anyio.Semaphore(settings.max_connections)
        self._most_waiting = settings.max_queued
        self._waiting = 0
        self._in_flight = 0
        self._breaker = Breaker(
            failures=settings.breaker_failures, longest_pause=settings.reconnect_max_seconds
        )

    def describe(self) -> JsonObject:
        """Return how it is, for operators."""
        return {
            "in_flight": self._in_flight,
            "waiting": self._waiting,
            "circuit": self._breaker.state,
            "failures": self._breaker.failures,
        }

    def reset(self) -> None:
        """Take note that the upstream has been reached."""
        self._breaker.succeed()

    @asynccontextmanager
    async def admitted(self, request: Request) -> AsyncGenerator[None]:
        """Hold a turn for a request and learn from what comes of it.

        Raises:
            Unavailable: There is no turn, or the upstream has failed too often.
        """
        self._check()
        await self._take_turn(request)

        try:
            # What happened while it waited counts as well.
            self._enter()
            self._in_flight += 1

            try:
                yield
            except GatewayError as exc:
                self._note(exc, request)
                raise
            except BaseException:
                self._breaker.give_up()
                raise
            else:
                self._breaker.succeed()
            finally:
                self._in_flight -= 1
        finally:
            self._turns.release()

    def _check(self) -> None:
        if self._breaker.state == "open":
            self._enter()

    def _enter(self) -> None:
        seconds = self._breaker.enter()

        if seconds is not None:
            raise Unavailable(
                f"The gateway {self._gateway!r} has failed {self._breaker.failures} times in a row "
                f"and is left alone: try again in {seconds:.1f} seconds.",
                code="mcp.gateway.circuit_open",
                origin=Origin.UPSTREAM,
                retry_after=seconds,
            )

    async def _take_turn(self, request: Request) -> None:
        try:
            self._turns.acquire_nowait()
        except anyio.WouldBlock:
            pass
        else:
            return

        if self._waiting >= self._most_waiting:
            raise self._busy()

        self._waiting += 1

        try:
            with anyio.move_on_after(seconds_left(request)) as scope:
                await self._turns.acquire()
        finally:
            self._waiting -= 1

        if scope.cancelled_caught:
            raise self._busy()

    def _busy(self) -> Unavailable:
        return Unavailable(
            f"The gateway {self._gateway!r} is busy, too many calls to it are under way: "
            f"try again in {BUSY_SECONDS:.1f} seconds.",
            code="mcp.gateway.busy",
            retry_after=BUSY_SECONDS,
        )

    def _note(self, error: GatewayError, request: Request) -> None:
        if _is_outage(error, request):
            self._breaker.fail()
        elif isinstance(error, UpstreamTimeout | SessionLost):
            # The caller's own hurry, or an ended session, says nothing of the upstream.
            self._breaker.give_up()
        else:
            self._breaker.succeed()


def _is_outage(error: GatewayError, request: Request) -> bool:
    """Tell whether an error says that an upstream does not work at all."""
    match error:
        case Unreachable():
            return True
        case HttpRefused():
            return error.status >= 500
        case UpstreamTimeout():
            return request.deadline is None or time.monotonic() < request.deadline
        case UpstreamError():
            return error.code == "mcp.upstream.invalid_answer"
        case _:
            return error.code == DOWN
