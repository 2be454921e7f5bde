"""GET /llm/routes/{id}: why one of the caller's own calls was answered by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.relay.wire_json import encode
from spindle_llm.surfaces.errors import send_error, send_json
from spindle_spi.errors import GatewayError, NotFound, PermissionDenied
from spindle_spi.ingress import IngressRoute
from spindle_spi.records import Kind, Target
from spindle_spi.shapes import ENVELOPE

if TYPE_CHECKING:
    from spindle_llm.routing.routes import Route
    from spindle_llm.runtime import State
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.ingress import Call
    from spindle_spi.types import JsonObject, Receive, Scope, Send


def route_records(state: State) -> tuple[IngressRoute, ...]:
    """Return the route of route records."""
    return (
        IngressRoute(
            method="GET",
            path="/llm/routes/{id}",
            permission="llm.read",
            handler=RouteRecords(state),
            errors=ENVELOPE,
        ),
    )


class RouteRecords:
    """The handler."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer with a route of the caller's; somebody else's is one that is not there."""
        del receive
        _, _, route_id = scope["path"].rpartition("/")

        try:
            body = encode(await self._shown(call.context, route_id))
        except GatewayError as exc:
            await send_error(send, exc, call.request_id, shape=ENVELOPE)
            return

        await send_json(send, body, call.request_id, shape=ENVELOPE)

    async def _shown(self, reader: AuthenticatedContext, route_id: str) -> JsonObject:
        runtime = self._state.runtime
        route = runtime.routes.find(route_id, reader)

        if route is None:
            raise _not_found()

        known = await self._known(reader, route)

        # A model that the reader may no longer know of takes its routes with it.
        if route.permit.record.id not in known:
            raise _not_found()

        return route.shown(known, runtime.settings.default_service)

    async def _known(self, reader: AuthenticatedContext, route: Route) -> set[str]:
        """Return the ids of the models that a reader may know of now."""
        catalog = self._state.runtime.services.catalog
        known: set[str] = set()

        for record in route.models:
            try:
                target = Target(kind=Kind.MODEL, name=record.id, by_id=True)
                known.add((await catalog.fetch(reader, target)).id)
            except (NotFound, PermissionDenied):
                continue

        return known


def _not_found() -> NotFound:
    return NotFound("There is no such route record.", code="llm.route.not_found")
