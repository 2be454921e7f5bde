"""The module behind a real HTTP server, with an ingress of a few lines in place of the host's."""

from __future__ import annotations

import re
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio
import uvicorn

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp import McpModule
from spindle_spi.errors import GatewayError, NotFound
from spindle_spi.ingress import CALL_SCOPE_KEY, PUBLIC, Call, IngressRoute
from spindle_spi.module import ModuleContext
from spindle_spi.records import Kind, Target
from spindle_spi.shapes import JSON_RPC, ErrorShape
from tests.mcp.support.records import count_tools

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import ASGIApp, JsonObject, Receive, Scope, Send

ACCELERATED = True
"""Which way of `tools/call` is served where a test does not say; tests of both ways change it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running module."""

    module: McpModule
    host: FakeHost
    url: str

    def endpoint(self, slug: str | None = None) -> str:
        return f"{self.url}/mcp" if slug is None else f"{self.url}/servers/{slug}/mcp"


@asynccontextmanager
async def running(module: McpModule, host: FakeHost, config: JsonObject) -> AsyncGenerator[None]:
    started = anyio.Event()

    async with anyio.create_task_group() as group:

        def spawn(name: str, work: Callable[[], Awaitable[None]]) -> None:
            del name

            async def carry_out() -> None:
                await work()

            group.start_soon(carry_out)

        context = ModuleContext(
            services=host.services_for("mcp"), config=config, spi_version="1.0", spawn=spawn
        )
        group.start_soon(module.run, context, started.set)
        await started.wait()
        yield
        group.cancel_scope.cancel()


@asynccontextmanager
async def listening(app: ASGIApp, *, port: int = 0) -> AsyncGenerator[str]:
    """Listen on a port, a free one by default; whatever is still open at the end is cut."""
    config = uvicorn.Config(app, lifespan="off", log_level="error", http="httptools", ws="none")
    # The protocol has to be said, or small writes wait for the other side's acknowledgement.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        running_server = uvicorn.Server(config)
        running_server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]

        async with anyio.create_task_group() as group:
            group.start_soon(running_server.serve, [listener])

            while not running_server.started:
                await anyio.sleep(0.001)

            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            await _stop(running_server)
            group.cancel_scope.cancel()


async def _stop(running_server: uvicorn.Server) -> None:
    """Cut every connection and wait for what was served on it; the server's own way is slower."""
    for listener in running_server.servers:
        listener.close()

    for connection in list(running_server.server_state.connections):
        transport: asyncio.Transport | None = getattr(connection, "transport", None)

        if transport is not None:
            transport.abort()

    with anyio.fail_after(10):
        while running_server.server_state.tasks:
            await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def serving(
    host: FakeHost,
    callers: dict[str, AuthenticatedContext],
    *,
    config: JsonObject | None = None,
    wait_for: int = 0,
) -> AsyncGenerator[Served]:
    """Serve the module; `callers` by token; waits for so many tools."""
    module = McpModule()
    host.owners["mcp"] = module
    host.callers.known.update(callers)
    news = host.records.feed([Kind.TOOL])

    async with (
        running(module, host, {"accelerated": ACCELERATED, **(config or {})}),
        listening(ingress(module, host)) as url,
    ):
        with anyio.fail_after(10):
            while count_tools(host) < wait_for:
                await anext(news)

        await news.aclose()
        yield Served(module=module, host=host, url=url)


def _traced(context: AuthenticatedContext, scope: Scope) -> AuthenticatedContext:
    named = dict(scope["headers"]).get(b"traceparent")

    if named is None:
        return context

    return replace(context, trace=replace(context.trace, traceparent=named.decode()))


def ingress(module: McpModule, host: FakeHost) -> ASGIApp:
    """Resolve who asks, hand the request to its route, and end the request's lease."""
    routes = {(route.method, route.path): route for route in module.routes}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        errors = JSON_RPC

        try:
            route, slug = _match(routes, scope)
            errors = route.errors
            context = _traced(_resolve(host, scope, slug, route), scope)
            key = f"everything:{host.records.view_key(context)}"
            scope[CALL_SCOPE_KEY] = call = Call(context, view_key=key, server_slug=slug)

            try:
                await route.handler(scope, receive, send, call)
            finally:
                host.end_lease(context.trace.request_id)
        except GatewayError as exc:
            await _fail(exc, errors, send)

    return app


def _match(
    routes: dict[tuple[str, str], IngressRoute], scope: Scope
) -> tuple[IngressRoute, str | None]:
    method, path = scope["method"], scope["path"]

    for (wanted, pattern), route in sorted(routes.items()):
        found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern), path)

        if wanted == method and found is not None:
            scope["path_params"] = found.groupdict()
            return route, found.groupdict().get(route.server_param or "")

    raise NotFound("no such path")


def _resolve(
    host: FakeHost, scope: Scope, slug: str | None, route: IngressRoute
) -> AuthenticatedContext:
    if route.permission is PUBLIC:
        return caller(None, permissions=())

    headers: dict[bytes, bytes] = dict(scope["headers"])
    token = headers.get(b"authorization", b"").decode().removeprefix("Bearer ")
    server = None if slug is None else Target(kind=Kind.SERVER, name=slug)
    return host.callers.resolve(token or None, server=server)


async def _fail(error: GatewayError, errors: ErrorShape, send: Send) -> None:
    rendered = errors.render(error, "req")
    headers = [(name.encode(), value.encode()) for name, value in rendered.headers]
    await send({"type": "http.response.start", "status": rendered.status, "headers": headers})
    await send({"type": "http.response.body", "body": rendered.body})
