"""One upstream's keeper: connects, reads what it offers, publishes it, keeps it fresh, reconnects.

It never raises. A failed refresh leaves what was published; only the gateway's own calls suffer.
"""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from spindle_mcp.config import McpSettings, option
from spindle_mcp.naming import Naming
from spindle_mcp.upstream.connections.base import EVERYTHING, Endpoint, Request, Upstream
from spindle_mcp.upstream.connections.connect import open_own, open_upstream
from spindle_mcp.upstream.connections.personal import PersonalSessions
from spindle_mcp.upstream.connections.pool import NotOpened, needs_own, own_sessions
from spindle_mcp.upstream.credentials.build import headers_of
from spindle_mcp.upstream.credentials.faults import nobody
from spindle_mcp.upstream.faults import SessionLost, Unreachable, innermost
from spindle_mcp.upstream.freshness import FIRST_PAUSE, Freshness, backoff
from spindle_mcp.upstream.guard import DOWN, Guard
from spindle_mcp.upstream.keys import lease_keys
from spindle_mcp.upstream.offers.lists import Lists
from spindle_mcp.upstream.offers.watched import Watched
from spindle_mcp.upstream.programs.program import program_of
from spindle_spi.errors import GatewayError, Origin, Unavailable
from spindle_spi.observability import Level
from spindle_spi.records import CatalogRecord, GatewaySpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from spindle_mcp.upstream.connections.base import Peer
    from spindle_mcp.upstream.connections.pool import OwnSessions
    from spindle_mcp.upstream.keys import Keys
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import Target
    from spindle_spi.services import Services
    from spindle_spi.types import JsonObject

_PATIENCE = 5.0
"""Longest wait of a call for a connection that is being made."""


class GatewayActor:
    """Keeps one gateway connected. `run` is its task; `request` is for everybody else."""

    def __init__(
        self,
        record: CatalogRecord,
        services: Services,
        settings: McpSettings,
        version: str,
        on_updated: Callable[[str, str], None],
    ) -> None:
        """`on_updated` is told of every resource that the upstream says was updated."""
        spec = record.spec

        if not isinstance(spec, GatewaySpec):
            raise TypeError("not the record of a gateway")

        self.record = record
        self.spec = spec
        self._services = services
        self._settings = settings
        naming = Naming(
            gateway=record.name, prefix=spec.prefix or record.name, limit=settings.name_length
        )
        self._version = version
        self.headers = headers_of(record, spec, services.config_secrets, version)
        """Where what proves us to the upstream comes from, beside a plain credential."""
        is_personal = self.headers is not None and self.headers.is_personal
        self.sessions = PersonalSessions(record.name, self._open_for) if is_personal else None
        """Where each person has a session of their own."""
        self._upstream: Upstream | None = None
        self._own: OwnSessions | None = None
        self._speaks_both = False
        self._is_open = anyio.Event()
        self._is_closed = anyio.Event()
        self._is_wanted = anyio.Event()
        self._lists = Lists(record.name, naming, services, settings)
        self._freshness = Freshness(record.name, spec, services, self._lists, on_updated)
        self._watched = Watched(record.name, services)
        self._failure = "not connected yet"
        self._guard = Guard(record.name, settings)
        self._connected_at = 0.0
        self._attempts = 0

    @property
    def name(self) -> str:
        """The gateway's name."""
        return self.record.name

    def describe(self) -> JsonObject:
        """Return how it is, for operators."""
        upstream = self._upstream
        return {
            "connected": upstream is not None,
            "era": None if upstream is None else upstream.era,
            **self._lists.describe(),
            "failure": self._failure or None,
            "failed_attempts": self._attempts,
            **self._guard.describe(),
        }

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open."""
        return self._upstream is not None

    def can(self, capability: str) -> bool:
        """Tell whether the upstream declares a capability."""
        upstream = self._upstream
        return upstream is not None and isinstance(upstream.capabilities.get(capability), dict)

    def standing_for(self, uri: str) -> tuple[Target, ...]:
        """Return every record published here that lets somebody read a URI."""
        return self._lists.offered.standing_for(uri)

    async def watch(self, uris: frozenset[str]) -> None:
        """Follow these resources from now on; returns when the upstream knows, or soon."""
        self._watched.uris = uris

        with anyio.move_on_after(_PATIENCE):
            await self._watched.follow(self._upstream)

    @property
    def era(self) -> str | None:
        """The era of the protocol that the upstream speaks; None while it is not connected."""
        return None if self._upstream is None else self._upstream.era

    def forget(self, owner: str) -> None:
        """End the sessions of a person, whose grant is another now or none."""
        if self.sessions is not None:
            self.sessions.forget(owner)

        if self._own is not None:
            self._own.forget(owner)

    def release(self, key: str) -> None:
        """Close what is open for a peer that is no more."""
        if self._own is not None:
            self._own.release(key)

    async def roots_changed(self, key: str) -> None:
        """Say on a peer's own sessions that its roots are not what they were."""
        if self._own is not None:
            await self._own.roots_changed(key)

    async def run(self) -> None:
        """Live until cancelled."""
        if self.sessions is None:
            await self._live()
            return

        async with anyio.create_task_group() as group:
            group.start_soon(self.sessions.run)
            await self._live()

    def wake(self) -> None:
        """Try again at once: what was missing may be there now."""
        self._is_wanted.set()

    async def _live(self) -> None:
        while True:
            self._is_wanted = anyio.Event()

            try:
                await self._serve()
                self._attempts = 0
            except Exception as exc:  # noqa: BLE001 - the edge of one upstream's task
                self._attempts = 0 if self._was_healthy(exc) else self._attempts + 1
                self._report(exc)
            finally:
                self._upstream = None
                self._is_open = anyio.Event()
                self._is_closed.set()
                self._is_closed = anyio.Event()

            await self._pause(self._attempts)

    async def request(self, request: Request) -> JsonObject:
        """Carry out a request at the upstream.

        Raises:
            GatewayError: Not connected, not reachable, refused, busy, or too slow.
        """
        if self.headers is not None and self.sessions is not None:
            # Nobody is shown as somebody else: without a caller there is nobody to show.
            if request.caller is None:
                raise nobody(self.name)

            # Who has to say yes first is told so, whatever the gateway itself is up to.
            await self.headers.headers(request.caller)

        async with self._guard.admitted(request):
            return await self._carry_out(request)

    async def _carry_out(self, request: Request) -> JsonObject:
        upstream = await self._connected()

        peer = request.peer
        person = None if self.sessions is None else request.caller

        if self._own is not None and peer is not None and self._has_own(upstream, peer):
            try:
                return await self._own.request(peer, request, person)
            except NotOpened as exc:
                if upstream.era == "legacy":
                    raise exc.cause from exc

                # Nothing was sent. One that refused the handshake is not tried again.
                self._speaks_both = isinstance(exc.cause, Unreachable)

        if self.sessions is not None and upstream.era == "legacy" and person is not None:
            return await self.sessions.request(person, request)

        try:
            return await upstream.request(request)
        except SessionLost:
            # The upstream forgot the session and has done nothing: once more, over a new one.
            if self._upstream is upstream:
                with anyio.move_on_after(_PATIENCE):
                    await self._is_closed.wait()

            return await (await self._connected()).request(request)

    def _has_own(self, upstream: Upstream, peer: Peer) -> bool:
        """Tell whether a request goes over a session that only its client uses.

        Many upstreams speak both eras, and ask in the middle of a call in the older one only. So
        a client of that era which can be asked meets them as if there were nothing between.
        """
        if not needs_own(peer):
            return False

        return upstream.era == "legacy" or (peer.can_be_asked and self._speaks_both)

    @asynccontextmanager
    async def _open_for(self, caller: AuthenticatedContext) -> AsyncGenerator[Upstream]:
        endpoint = _shown_as(self._endpoint(await self._keys()), caller)

        async with open_own(self.spec, endpoint, {}) as upstream:
            yield upstream

    async def _serve(self) -> None:
        keys = await self._keys()
        endpoint = self._endpoint(keys)

        async with open_upstream(self.spec, endpoint) as upstream, self._owning(upstream, endpoint):
            is_complete = await self._lists.read(upstream, EVERYTHING.lists)
            self._upstream = upstream
            self._connected_at = anyio.current_time()
            self._failure = ""
            self._guard.reset()
            self._is_open.set()
            self._log(Level.INFO, "mcp.gateway.connected", {"era": upstream.era})
            await self._watched.follow(upstream)
            longest = self._settings.refresh_seconds
            await self._freshness.keep(upstream, keys, longest, is_complete=is_complete)

    @asynccontextmanager
    async def _owning(self, upstream: Upstream, endpoint: Endpoint) -> AsyncGenerator[None]:
        """Keep sessions of single clients, where the upstream has sessions."""
        # A second program for a client is started only where there is no other way.
        self._speaks_both = (
            upstream.era == "modern" and self.spec.era == "auto" and self.spec.transport != "stdio"
        )

        if upstream.era != "legacy" and not self._speaks_both:
            yield
            return

        async with own_sessions(
            lambda offered, person: open_own(self.spec, _shown_as(endpoint, person), offered),
            most=self._settings.max_own_sessions,
            idle_seconds=self._settings.own_session_idle_seconds,
        ) as own:
            self._own = own

            try:
                yield
            finally:
                self._own = None

    async def _keys(self) -> Keys:
        return await lease_keys(self.spec, self._services.config_secrets)

    def _was_healthy(self, exc: Exception) -> bool:
        """Tell whether what failed now had worked, so that trying again soon is worth while."""
        if self._upstream is None:
            return False

        lasted = anyio.current_time() - self._connected_at
        return lasted >= self._settings.healthy_seconds or isinstance(innermost(exc), SessionLost)

    def _endpoint(self, keys: Keys) -> Endpoint:
        settings = self._settings
        program = program_of(self.spec, keys.variables)
        return Endpoint(
            gateway=self.name,
            url=self.spec.url or "",
            version=self._version,
            credential=keys.secret,
            headers=self.headers,
            address=option(self.spec.options, "address"),
            connect_seconds=settings.connect_seconds if program is None else settings.start_seconds,
            max_connections=settings.max_connections,
            max_result_bytes=settings.max_result_bytes,
            program=program,
            tell=self._log,
        )

    async def _connected(self) -> Upstream:
        if self._upstream is None:
            # Somebody needs it now: the pause before the next attempt ends.
            self._is_wanted.set()

            with anyio.move_on_after(_PATIENCE):
                await self._is_open.wait()

        if self._upstream is None:
            raise Unavailable(
                f"The gateway {self.name!r} is not connected.",
                code=DOWN,
                origin=Origin.UPSTREAM,
            )

        return self._upstream

    async def _pause(self, failures: int) -> None:
        pause = backoff(failures, self._settings.reconnect_max_seconds)

        # A caller may shorten the pause, not abolish it.
        await anyio.sleep(min(FIRST_PAUSE, pause) * random.uniform(0.5, 1.0))

        with anyio.move_on_after(pause * random.uniform(0.5, 1.0)):
            await self._is_wanted.wait()

    def _report(self, exc: Exception) -> None:
        cause = innermost(exc)
        failure = cause.message if isinstance(cause, GatewayError) else type(cause).__name__

        if failure != self._failure:
            self._log(Level.WARNING, "mcp.gateway.down", {"failure": failure})

        self._failure = failure

    def _log(self, level: Level, event: str, fields: JsonObject) -> None:
        self._services.observability.log(level, event, {"gateway": self.name, **fields})


def _shown_as(endpoint: Endpoint, person: AuthenticatedContext | None) -> Endpoint:
    """Return an endpoint at which a person is shown, if one is, in place of the gateway."""
    # A plain credential, if there is one, reads lists: a person's own token is shown instead.
    return endpoint if person is None else replace(endpoint, caller=person, credential=None)
