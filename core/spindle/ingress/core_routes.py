"""The core's own routes. Adding one is a line in `core_routes`."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Protocol

from spindle.api.inventory import api_routes
from spindle.api.routing import documentation
from spindle.authority import need
from spindle.ingress.requests import client_ip_of, is_loopback
from spindle.ingress.routes import CORE, RouteSource
from spindle.openapi.routes import document_routes
from spindle_spi.ingress import PUBLIC, IngressRoute, Public
from spindle_spi.module import HealthState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from spindle.ingress.routes import Mount
    from spindle_spi.ingress import Call, Handler
    from spindle_spi.types import Json, Receive, Scope, Send

_METRICS = "metrics.read"
_HEADERS = {
    "json": (b"content-type", b"application/json"),
    "text": (b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),
}
_NO_STORE = (b"cache-control", b"no-store")


class Operations(Protocol):
    """What these routes show of the host."""

    async def module_states(self) -> Mapping[str, HealthState]:
        """Return how each module is."""
        ...

    @property
    def is_store_available(self) -> bool:
        """Whether the database was there when it was last needed."""
        ...

    def render_metrics(self) -> bytes:
        """Return every measure in Prometheus' text form."""
        ...

    def authorise(self, scope: Scope, call: Call, permission: str) -> None:
        """Check a permission of the caller, or raise."""
        ...

    def mounts(self) -> Sequence[Mount]:
        """Return every route that is served."""
        ...


def core_routes(
    operations: Operations, *, metrics_on_loopback: bool = False
) -> tuple[IngressRoute, ...]:
    """Return the core's routes over what the host shows of itself."""
    return (
        _route("/health", PUBLIC, _show_health),
        _route("/ready", PUBLIC, _readiness(operations)),
        _route(
            "/metrics",
            PUBLIC if metrics_on_loopback else _METRICS,
            _measures(operations, is_open_on_loopback=metrics_on_loopback),
        ),
        *document_routes(operations.mounts),
    )


def _route(path: str, permission: str | Public, handler: Handler) -> IngressRoute:
    return IngressRoute(
        method="GET",
        path=path,
        permission=permission,
        handler=handler,
        operation=partial(documentation, "GET", path),
    )


async def _show_health(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
    """Say that the process answers; whether it can serve is `/ready`."""
    del scope, receive, call
    await _send(send, 200, {"status": "ok"})


def _readiness(operations: Operations) -> Handler:
    async def show_readiness(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, call
        states = await operations.module_states()
        can_serve = all(
            state in (HealthState.READY, HealthState.DEGRADED) for state in states.values()
        )
        modules: dict[str, Json] = {name: state.value for name, state in states.items()}
        await _send(
            send,
            200 if can_serve else 503,
            {
                "status": "ready" if can_serve else "not_ready",
                "modules": modules,
                # Without it calls are served from memory: no reason to take the process away.
                "store": "ready" if operations.is_store_available else "unavailable",
            },
        )

    return show_readiness


def _measures(operations: Operations, *, is_open_on_loopback: bool) -> Handler:
    async def show_measures(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del receive

        if not is_open_on_loopback:
            # The measures are no team's, and a team's role has let them in here.
            need(call.context, _METRICS)
        elif not is_loopback(client_ip_of(scope)):
            operations.authorise(scope, call, _METRICS)

        await _send_bytes(send, 200, operations.render_metrics(), "text")

    return show_measures


def _send(send: Send, status: int, body: Mapping[str, Json]) -> Awaitable[None]:
    return _send_bytes(send, status, json.dumps(body, separators=(",", ":")).encode(), "json")


async def _send_bytes(send: Send, status: int, body: bytes, kind: str) -> None:
    headers = [_HEADERS[kind], (b"content-length", b"%d" % len(body)), _NO_STORE]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def core_inventory() -> RouteSource:
    """Return the core's routes as an inventory alone: for checks and lists, not for serving."""
    return RouteSource(owner=CORE, routes=(*core_routes(_Nothing()), *api_routes(None)))


class _Nothing(Operations):
    """Operations of no host."""

    async def module_states(self) -> Mapping[str, HealthState]:
        raise NotImplementedError

    @property
    def is_store_available(self) -> bool:
        raise NotImplementedError

    def render_metrics(self) -> bytes:
        raise NotImplementedError

    def authorise(self, scope: Scope, call: Call, permission: str) -> None:
        raise NotImplementedError

    def mounts(self) -> Sequence[Mount]:
        raise NotImplementedError
