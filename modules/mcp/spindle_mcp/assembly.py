"""What a running module is made of, put together once from its settings and run as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from spindle_mcp.config import McpSettings, settings_from
from spindle_mcp.surface.content import Content
from spindle_mcp.surface.dialogue.parking import Parking
from spindle_mcp.surface.dialogue.state import StateSeal
from spindle_mcp.surface.dialogue.turns import Turns
from spindle_mcp.surface.finding.search import SearchedCalls, searched_above
from spindle_mcp.surface.finding.vectors import vectors_of
from spindle_mcp.surface.http.accelerated import FastPath
from spindle_mcp.surface.http.endpoint import Endpoint
from spindle_mcp.surface.http.older import OlderStreams
from spindle_mcp.surface.http.resuming import ResumableSessions
from spindle_mcp.surface.server import Surface
from spindle_mcp.surface.sessions import Sessions
from spindle_mcp.surface.shelf.listeners import Listeners
from spindle_mcp.surface.shelf.subscriptions import Subscriptions
from spindle_mcp.surface.shelf.views import Views
from spindle_mcp.surface.walks.fetches import Fetches
from spindle_mcp.upstream.fleet import Fleet
from spindle_spi.module import ModuleContext

if TYPE_CHECKING:
    from spindle_mcp.surface.server import SpindleServer
    from spindle_mcp.surface.walks.walk import InFlight
    from spindle_spi.module import Started
    from spindle_spi.services import Services

_UNBOUNDED: Final = 2**40
"""The host bounds request bodies; the SDK's own bound must not be the lower one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """The parts that somebody outside asks for, and what runs them."""

    context: ModuleContext
    settings: McpSettings
    fleet: Fleet
    """The upstreams."""
    fetches: Fetches
    listeners: Listeners
    parking: Parking
    manager: StreamableHTTPSessionManager
    endpoint: Endpoint
    """What answers `/mcp`."""
    older: OlderStreams | None
    """The transport of 2024-11-05, where it is turned on."""

    async def run(self, started: Started) -> None:
        """Serve until cancelled."""
        async with anyio.create_task_group() as group, self.manager.run():
            group.start_soon(self.fleet.run)
            group.start_soon(self.parking.run)
            group.start_soon(self.listeners.run)
            started()
            await anyio.sleep_forever()


def assemble(context: ModuleContext, version: str, in_flight: InFlight) -> Assembly:
    """Put the parts together; nothing runs yet.

    Raises:
        GatewayError: The settings do not fit.
    """
    settings, services = settings_from(context.config), context.services
    fleet = Fleet(services, settings, version)
    views = Views(
        services.catalog,
        name_length=settings.name_length,
        search_rule=searched_above(settings.search_above),
    )
    subscriptions = Subscriptions(fleet)
    fleet.on_updated = subscriptions.updated
    listeners = Listeners(
        services.catalog, views, subscriptions, max_sessions=settings.max_sessions
    )
    parking = Parking(most=settings.max_parked_calls, seconds=settings.input_seconds)
    turns = Turns(fleet, parking, StateSeal(services, seconds=settings.input_seconds))
    vectors = vectors_of(services, settings.search_model)
    calls = SearchedCalls(services, fleet, turns, in_flight, vectors=vectors)
    fetches = Fetches(services, fleet, turns, in_flight)
    sessions = Sessions(idle_seconds=settings.session_idle_seconds, most=settings.max_sessions)
    content = Content(fetches, listeners, sessions)
    surface = Surface(calls, content, listeners, sessions, services.observability, settings)
    server = surface.build(version)
    fast = None

    if settings.accelerated:
        # What goes round the SDK is not kept for who loses a stream.
        with_sessions = not settings.resumable
        stamp = server.server_info_stamp
        fast = FastPath(calls, fetches, sessions, surface, stamp, with_sessions=with_sessions)

    manager = _manager(server, services, settings)
    return Assembly(
        context=context,
        settings=settings,
        fleet=fleet,
        fetches=fetches,
        listeners=listeners,
        parking=parking,
        manager=manager,
        endpoint=Endpoint(manager, views, sessions, fast),
        older=_older(server, views, settings),
    )


def _older(server: SpindleServer, views: Views, settings: McpSettings) -> OlderStreams | None:
    if not settings.legacy_sse:
        return None

    return OlderStreams(server, views, most=settings.max_sessions, max_body=_UNBOUNDED)


def _manager(
    server: SpindleServer, services: Services, settings: McpSettings
) -> StreamableHTTPSessionManager:
    if settings.resumable:
        return ResumableSessions(
            services,
            server,
            seconds=settings.session_idle_seconds,
            most=settings.max_sessions,
            max_body=_UNBOUNDED,
        )

    return StreamableHTTPSessionManager(
        server,
        session_idle_timeout=settings.session_idle_seconds,
        max_request_body_size=_UNBOUNDED,
        max_sessions=settings.max_sessions,
    )
