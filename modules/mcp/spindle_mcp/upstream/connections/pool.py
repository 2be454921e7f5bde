"""Sessions of a legacy upstream that belong to one client each, beside the one all others share.

What an upstream asks or logs on a session cannot be told apart by caller; so a client that can be
asked gets a session of its own. Where each person is shown to the upstream as themselves, it is
that person's as well. Bounded, opened on demand, closed when idle.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.capabilities import callbacks_in
from spindle_mcp.text import encode
from spindle_mcp.upstream.connections.legacy import LegacyUpstream
from spindle_mcp.upstream.faults import SessionLost, innermost
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import GatewayError, Internal, Origin, Unavailable
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup

    from spindle_mcp.upstream.connections.base import Peer, Request

    Open = Callable[
        [JsonObject, AuthenticatedContext | None], AbstractAsyncContextManager[LegacyUpstream]
    ]

_SWEEPS: Final = 4
"""How often, in the time a session may be idle, it is looked after."""


def needs_own(peer: Peer) -> bool:
    """Tell whether an upstream may have something to say or ask that is for one client alone."""
    return peer.log_level is not None or bool(_offered(peer))


class NotOpened(Exception):
    """No session of its own could be opened for a client."""

    def __init__(self, cause: GatewayError) -> None:
        super().__init__(cause.message)
        self.cause = cause


def _owner_of(person: AuthenticatedContext | None) -> str | None:
    return None if person is None else (person.subject.user_email or "").lower()


def _offered(peer: Peer) -> JsonObject:
    return callbacks_in(peer.capabilities) if peer.can_be_asked else {}


@dataclass(eq=False, slots=True)
class _Own:
    """One session, from before it is open until it is let go."""

    key: str
    person: AuthenticatedContext | None
    """Who is shown to the upstream; None is the gateway itself."""
    offered: JsonObject
    variant: bytes
    is_shared: bool
    """Several requests may run on it at a time, for they are all of one downstream session."""
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)
    upstream: LegacyUpstream | None = None
    failure: GatewayError | None = None
    settled: anyio.Event = field(default_factory=anyio.Event)
    """Open, or failed to be."""
    let_go: anyio.Event = field(default_factory=anyio.Event)

    def fits(self, peer: Peer, person: AuthenticatedContext | None, variant: bytes) -> bool:
        """Tell whether a request of a peer may run on it."""
        if self.key != peer.key or _owner_of(self.person) != _owner_of(person):
            return False

        if self.variant != variant or self.failure is not None:
            return False

        return self.is_shared or not self.users


class OwnSessions:
    """Those of one upstream. Opened and closed in its actor's task group, used from any task."""

    def __init__(self, open_one: Open, group: TaskGroup, *, most: int, idle_seconds: float) -> None:
        self._open_one = open_one
        self._group = group
        self._most = most
        self._idle_seconds = idle_seconds
        self._held: list[_Own] = []

    def __len__(self) -> int:
        return len(self._held)

    async def request(
        self, peer: Peer, request: Request, person: AuthenticatedContext | None = None
    ) -> JsonObject:
        """Carry out a request on a session of its peer's own, and of the person's if one is shown.

        Raises:
            NotOpened: There was no session and none could be opened; nothing was sent.
            GatewayError: There are too many sessions, or the request failed.
        """
        try:
            return await self._on_own(peer, request, person)
        except SessionLost:
            # The upstream forgot the session and has done nothing: once more, over a new one.
            return await self._on_own(peer, request, person)

    async def sweep(self) -> None:
        """Close what is idle, until cancelled."""
        while True:
            await anyio.sleep(self._idle_seconds / _SWEEPS)
            limit = time.monotonic() - self._idle_seconds

            for own in [own for own in self._held if not own.users and own.used_at <= limit]:
                self._let_go(own)

    def release(self, key: str) -> None:
        """Close the sessions of a peer that is no more."""
        for own in [own for own in self._held if own.key == key]:
            self._let_go(own)

    async def roots_changed(self, key: str) -> None:
        """Say on a peer's sessions that its roots are not what they were."""
        for own in [own for own in self._held if own.key == key]:
            if own.upstream is not None:
                await own.upstream.roots_changed()

    def forget(self, owner: str) -> None:
        """Use the sessions of a person no more, whose grant is another now or none."""
        for own in [own for own in self._held if _owner_of(own.person) == owner]:
            self._held.remove(own)

            if not own.users:
                own.let_go.set()

    async def _on_own(
        self, peer: Peer, request: Request, person: AuthenticatedContext | None
    ) -> JsonObject:
        async with self._taken(peer, person) as own:
            if own.upstream is None:
                raise NotOpened(own.failure or Internal("A session was let go as it opened."))

            try:
                await own.upstream.set_level(peer.log_level)
                return await own.upstream.request(request)
            except SessionLost:
                self._let_go(own)
                raise

    @asynccontextmanager
    async def _taken(self, peer: Peer, person: AuthenticatedContext | None) -> AsyncGenerator[_Own]:
        own = self._find(peer, person)
        own.users += 1

        try:
            await own.settled.wait()
            yield own
        finally:
            own.users -= 1
            own.used_at = time.monotonic()

            if own.failure is not None or (own.upstream is not None and own.upstream.is_closed):
                self._let_go(own)
            elif own not in self._held and not own.users:
                own.let_go.set()

    def _find(self, peer: Peer, person: AuthenticatedContext | None) -> _Own:
        offered = _offered(peer)
        variant = encode(offered)

        for own in self._held:
            if own.fits(peer, person, variant):
                return own

        if len(self._held) >= self._most:
            self._make_room()

        own = _Own(peer.key, person, offered, variant, peer.is_session)
        self._held.append(own)
        self._group.start_soon(self._hold, own)
        return own

    def _make_room(self) -> None:
        idle = [own for own in self._held if not own.users]

        if not idle:
            raise Unavailable(
                "Too many clients use sessions of their own at this gateway.",
                code="mcp.gateway.sessions",
                origin=Origin.CORE,
                retry_after=1.0,
            )

        self._let_go(min(idle, key=lambda own: own.used_at))

    def _let_go(self, own: _Own) -> None:
        if own in self._held:
            self._held.remove(own)

        own.let_go.set()

    async def _hold(self, own: _Own) -> None:
        """Open a session and close it, both in this task."""
        try:
            async with self._open_one(own.offered, own.person) as upstream:
                own.upstream = upstream
                own.settled.set()
                await own.let_go.wait()
        except Exception as exc:  # noqa: BLE001 - the edge of one session's task
            cause = innermost(exc)
            own.failure = (
                cause
                if isinstance(cause, GatewayError)
                else Internal("A session could not be opened.")
            )
            self._let_go(own)
        finally:
            own.settled.set()


@asynccontextmanager
async def own_sessions(
    open_one: Open, *, most: int, idle_seconds: float
) -> AsyncGenerator[OwnSessions]:
    """Hold the sessions of one upstream; enter and leave this in one task."""
    async with anyio.create_task_group() as group:
        sessions = OwnSessions(open_one, group, most=most, idle_seconds=idle_seconds)
        group.start_soon(sessions.sweep)

        try:
            yield sessions
        finally:
            group.cancel_scope.cancel()
