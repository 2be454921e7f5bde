"""Sessions of single persons with an upstream that binds a session to who opened it.

Each lives in a task of its own, as the SDK's client has to. They are bounded: for a new one the
one that nobody has used for longest is ended; where all are in use, the newcomer is told to wait.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.upstream.faults import SessionLost, Unreachable, innermost
from spindle_spi.errors import GatewayError, Origin, RateLimited, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup

    from spindle_mcp.upstream.connections.base import Request, Upstream
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject

    Open = Callable[[AuthenticatedContext], AbstractAsyncContextManager[Upstream]]

_MOST: Final = 100
_IDLE_SECONDS: Final = 300.0
_SWEEP_SECONDS: Final = 30.0


class _Session:
    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.ready = anyio.Event()
        self.upstream: Upstream | None = None
        self.failure: GatewayError | None = None
        self.users = 0
        self.used_at = time.monotonic()


class PersonalSessions:
    """The sessions of one gateway, by person."""

    def __init__(
        self, gateway: str, open_session: Open, *, most: int = _MOST, idle: float = _IDLE_SECONDS
    ) -> None:
        self._gateway = gateway
        self._open = open_session
        self._most = most
        self._idle = idle
        self._held: dict[str, _Session] = {}
        self._group: TaskGroup | None = None

    def __len__(self) -> int:
        """Return how many are open, or being opened."""
        return len(self._held)

    async def run(self) -> None:
        """Hold the sessions, and end the idle ones, until cancelled."""
        async with anyio.create_task_group() as group:
            self._group = group

            try:
                while True:
                    await anyio.sleep(min(_SWEEP_SECONDS, self._idle))
                    oldest = time.monotonic() - self._idle

                    for key, held in list(self._held.items()):
                        if not held.users and held.used_at <= oldest:
                            self._end(key)
            finally:
                self._group = None

    async def request(self, caller: AuthenticatedContext, request: Request) -> JsonObject:
        """Carry out a request over a person's session; once more if the upstream forgot it.

        Raises:
            GatewayError: The session cannot be opened, or the request failed.
        """
        try:
            async with self.using(caller) as upstream:
                return await upstream.request(request)
        except SessionLost:
            async with self.using(caller) as upstream:
                return await upstream.request(request)

    @asynccontextmanager
    async def using(self, caller: AuthenticatedContext) -> AsyncGenerator[Upstream]:
        """Give the session of a person, opened if need be; one that is lost is not used again.

        Raises:
            GatewayError: It cannot be opened.
        """
        key = (caller.subject.user_email or "").lower()
        held = self._held.get(key) or self._start(key, caller)
        held.users += 1

        try:
            await held.ready.wait()

            if held.upstream is None:
                raise held.failure or self._down()

            yield held.upstream
        except (SessionLost, Unreachable):
            # Others may still get their answers over it; it is given to nobody new.
            if self._held.get(key) is held:
                del self._held[key]

            raise
        finally:
            held.users -= 1
            held.used_at = time.monotonic()

            if not held.users and self._held.get(key) is not held:
                held.scope.cancel()

    def forget(self, owner: str) -> None:
        """End the session of a person, whose grant is another now or none."""
        held = self._held.pop(owner, None)

        if held is not None and not held.users:
            held.scope.cancel()

    def _start(self, key: str, caller: AuthenticatedContext) -> _Session:
        if self._group is None:
            raise self._down()

        if len(self._held) >= self._most:
            idle = [(held.used_at, name) for name, held in self._held.items() if not held.users]

            if not idle:
                raise RateLimited(
                    f"Too many people use the gateway {self._gateway!r} at once.",
                    code="mcp.gateway.too_many_sessions",
                    origin=Origin.MODULE,
                    retry_after=1.0,
                )

            self._end(min(idle)[1])

        held = self._held[key] = _Session()
        self._group.start_soon(self._hold, key, held, caller)
        return held

    async def _hold(self, key: str, held: _Session, caller: AuthenticatedContext) -> None:
        try:
            with held.scope:
                async with self._open(caller) as upstream:
                    held.upstream = upstream
                    held.ready.set()

                    # Announcements are the gateway's own session's affair; the end is ours.
                    while True:
                        await upstream.changed()
        except Exception as exc:  # noqa: BLE001 - the edge of one session's task
            cause = innermost(exc)
            held.failure = cause if isinstance(cause, GatewayError) else self._down()
        finally:
            held.upstream = None
            held.ready.set()

            if self._held.get(key) is held:
                del self._held[key]

    def _end(self, key: str) -> None:
        self._held.pop(key).scope.cancel()

    def _down(self) -> Unavailable:
        return Unavailable(
            f"The gateway {self._gateway!r} is not connected.",
            code="mcp.gateway.down",
            origin=Origin.UPSTREAM,
        )
