"""One upstream's keeper: connects, reads its tools, publishes them, keeps both fresh, reconnects.

It never raises. A failed refresh leaves what was published; only the gateway's own calls suffer.
"""

from __future__ import annotations

import random
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from spindle_mcp.config import McpSettings, option
from spindle_mcp.upstream.base import Endpoint, ToolCall, Upstream
from spindle_mcp.upstream.connect import open_upstream
from spindle_mcp.upstream.credentials.build import headers_of
from spindle_mcp.upstream.faults import HttpRefused, RpcRefused, SessionLost, Unreachable
from spindle_mcp.upstream.groups import innermost
from spindle_mcp.upstream.ingest import harvest
from spindle_mcp.upstream.legacy import open_legacy
from spindle_mcp.upstream.personal import PersonalSessions
from spindle_spi.errors import GatewayError, Origin, Unavailable, UpstreamError
from spindle_spi.observability import Level
from spindle_spi.records import CatalogRecord, GatewaySpec, PublishedRecord

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.secret import SecretLease
    from spindle_spi.services import Services
    from spindle_spi.types import Json, JsonObject

_FIRST_PAUSE = 0.25
_PATIENCE = 5.0
"""Longest wait of a call for a connection that is being made."""
_MAX_FAILED_REFRESHES = 3


class GatewayActor:
    """Keeps one gateway connected. `run` is its task; `call_tool` is for everybody else."""

    def __init__(
        self, record: CatalogRecord, services: Services, settings: McpSettings, version: str
    ) -> None:
        spec = record.spec

        if not isinstance(spec, GatewaySpec):
            raise TypeError("not the record of a gateway")

        self.record = record
        self.spec = spec
        self._services = services
        self._settings = settings
        self._version = version
        self.headers = headers_of(record, spec, services.config_secrets)
        """Where what proves us to the upstream comes from, beside a plain credential."""
        is_personal = self.headers is not None and self.headers.is_personal
        self.sessions = PersonalSessions(record.name, self._open_for) if is_personal else None
        """Where each person has a session of their own."""
        self._upstream: Upstream | None = None
        self._is_open = anyio.Event()
        self._is_closed = anyio.Event()
        self._is_wanted = anyio.Event()
        self._published: tuple[PublishedRecord, ...] | None = None
        self._failure = "not connected yet"

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
            "tools": len(self._published or ()),
            "failure": self._failure or None,
        }

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open."""
        return self._upstream is not None

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
        failures = 0

        while True:
            self._is_wanted = anyio.Event()

            try:
                await self._serve()
                failures = 0
            except Exception as exc:  # noqa: BLE001 - the edge of one upstream's task
                failures = failures + 1 if self._upstream is None else 0
                self._report(exc)
            finally:
                self._upstream = None
                self._is_open = anyio.Event()
                self._is_closed.set()
                self._is_closed = anyio.Event()

            await self._pause(failures)

    async def call_tool(self, call: ToolCall) -> JsonObject:
        """Call one of the upstream's tools.

        Raises:
            GatewayError: Not connected, not reachable, refused, or too slow.
        """
        if self.headers is not None and self.sessions is not None:
            # Who has to say yes first is told so, whatever the gateway itself is up to.
            await self.headers.headers(call.caller)

        upstream = await self._connected()

        if self.sessions is not None and upstream.era == "legacy" and call.caller is not None:
            return await self._call_as(self.sessions, call.caller, call)

        try:
            return await upstream.call_tool(call)
        except SessionLost:
            # The upstream forgot the session and has done nothing: once more, over a new one.
            if self._upstream is upstream:
                with anyio.move_on_after(_PATIENCE):
                    await self._is_closed.wait()

            return await (await self._connected()).call_tool(call)

    async def _call_as(
        self, sessions: PersonalSessions, caller: AuthenticatedContext, call: ToolCall
    ) -> JsonObject:
        """Call over a person's own session; once more over a new one if the upstream forgot it."""
        try:
            async with sessions.using(caller) as upstream:
                return await upstream.call_tool(call)
        except SessionLost:
            async with sessions.using(caller) as upstream:
                return await upstream.call_tool(call)

    @asynccontextmanager
    async def _open_for(self, caller: AuthenticatedContext) -> AsyncGenerator[Upstream]:
        # A plain credential, if there is one, reads lists: here a person's own token is shown.
        endpoint = replace(self._endpoint(None), caller=caller)

        async with open_legacy(endpoint) as upstream:
            yield upstream

    async def _serve(self) -> None:
        lease = await self._lease()

        async with open_upstream(self.spec, self._endpoint(lease)) as upstream:
            await self._publish(await upstream.list_tools())
            self._upstream = upstream
            self._failure = ""
            self._is_open.set()
            self._log(Level.INFO, "mcp.gateway.connected", {"era": upstream.era})
            await self._keep_fresh(upstream, lease)

    async def _keep_fresh(self, upstream: Upstream, lease: SecretLease | None) -> None:
        """Read the tools again when told, and from time to time; return to reconnect.

        A lease of the credential that ends is such a time: another value is used from then on.
        """
        failures = 0

        while True:
            wait = self._settings.refresh_seconds

            if failures:
                wait = min(_FIRST_PAUSE * 2**failures, wait)

            try:
                with anyio.move_on_after(_until(lease, wait * random.uniform(0.9, 1.1))):
                    await upstream.changed()

                if lease is not None and lease.expires_at <= time.time():
                    before, lease = lease, await self._lease()

                    if not _goes_on(upstream, before, lease):
                        return

                await self._publish(await upstream.list_tools())
                failures = 0
            except (SessionLost, RpcRefused, HttpRefused):
                # It is not what it was: find out anew what it is.
                raise
            except UpstreamError as exc:
                failures += 1
                self._log(Level.WARNING, "mcp.gateway.refresh_failed", {"error": exc.code})

                if upstream.era == "legacy" and (
                    failures >= _MAX_FAILED_REFRESHES or isinstance(exc, Unreachable)
                ):
                    raise

    async def _publish(self, tools: list[JsonObject]) -> None:
        found = harvest(self.name, tools, self._settings.max_tools)

        if found.records == self._published:
            return

        for tool, reason in found.left_out:
            self._log(Level.WARNING, "mcp.tool.left_out", {"tool": tool, "reason": reason})

        await self._services.catalog.publish("mcp", f"gateway:{self.name}", found.records)
        self._published = found.records

    async def _lease(self) -> SecretLease | None:
        credential = self.spec.credential
        return None if credential is None else await self._services.config_secrets.lease(credential)

    def _endpoint(self, lease: SecretLease | None) -> Endpoint:
        settings = self._settings
        return Endpoint(
            gateway=self.name,
            url=self.spec.url or "",
            version=self._version,
            credential=None if lease is None else lease.secret,
            headers=self.headers,
            address=option(self.spec.options, "address"),
            connect_seconds=settings.connect_seconds,
            max_connections=settings.max_connections,
            max_result_bytes=settings.max_result_bytes,
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
                code="mcp.gateway.down",
                origin=Origin.UPSTREAM,
            )

        return self._upstream

    async def _pause(self, failures: int) -> None:
        longest = self._settings.reconnect_max_seconds
        pause = min(_FIRST_PAUSE * 2 ** min(failures, 16), longest)

        # A caller may shorten the pause, not abolish it.
        await anyio.sleep(min(_FIRST_PAUSE, pause) * random.uniform(0.5, 1.0))

        with anyio.move_on_after(pause * random.uniform(0.5, 1.0)):
            await self._is_wanted.wait()

    def _report(self, exc: Exception) -> None:
        cause = innermost(exc)
        failure = cause.message if isinstance(cause, GatewayError) else type(cause).__name__

        if failure != self._failure:
            self._log(Level.WARNING, "mcp.gateway.down", {"failure": failure})

        self._failure = failure

    def _log(self, level: Level, event: str, fields: dict[str, Json]) -> None:
        self._services.observability.log(level, event, {"gateway": self.name, **fields})


def _until(lease: SecretLease | None, wait: float) -> float:
    """Return the seconds to wait, no longer than a lease lasts."""
    return wait if lease is None else max(_FIRST_PAUSE, min(wait, lease.expires_at - time.time()))


def _goes_on(upstream: Upstream, before: SecretLease, lease: SecretLease | None) -> bool:
    """Tell whether a connection can be used under another lease of its credential."""
    if lease is None:
        return False

    return lease.secret == before.secret or upstream.take_credential(lease.secret)
