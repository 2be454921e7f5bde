"""Where people let gateways act for them, see for which they did, and take it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from spindle_mcp.authorization.answers import nothing_at, send_json, send_nothing, send_page
from spindle_mcp.authorization.documentation import (
    BEGIN,
    DOCUMENT_SAID,
    FINISH,
    GRANTS,
    REVOKE,
)
from spindle_mcp.upstream.credentials.names import CALLBACK, DOCUMENT
from spindle_spi.errors import InvalidArgument
from spindle_spi.ingress import PUBLIC, Call, IngressRoute
from spindle_spi.shapes import ENVELOPE
from spindle_spi.types import Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_mcp.authorization.flow import Authorizations
    from spindle_spi.config_secrets import Deployment
    from spindle_spi.operation import OperationDoc

_PERMISSION: Final = "servers.use"
_MAX_QUERY: Final = 8192

Desk = Callable[[], "Authorizations"]
"""Returns who does it, or raises when nobody does."""
Serve = Callable[["Desk", Scope, Send, Call], Awaitable[None]]


def authorization_routes(
    desk: Desk, deployment: Callable[[], Awaitable[Deployment]]
) -> Iterator[IngressRoute]:
    """Return the routes; all but the client's document need the caller."""
    served: tuple[tuple[str, str, Serve, OperationDoc], ...] = (
        ("GET", "/mcp/authorize/{gateway}", _begin, BEGIN),
        ("GET", CALLBACK, _finish, FINISH),
        ("GET", "/mcp/grants", _list, GRANTS),
        ("DELETE", "/mcp/grants/{gateway}", _revoke, REVOKE),
    )

    for method, path, serve, said in served:
        yield IngressRoute(
            method=method,
            path=path,
            permission=_PERMISSION,
            handler=partial(_serve, desk, serve),
            errors=ENVELOPE,
            operation=said,
        )

    yield IngressRoute(
        method="GET",
        path=DOCUMENT,
        permission=PUBLIC,
        handler=partial(_tell, deployment),
        errors=ENVELOPE,
        operation=DOCUMENT_SAID,
    )


async def _serve(
    desk: Desk, serve: Serve, scope: Scope, receive: Receive, send: Send, call: Call
) -> None:
    del receive
    await serve(desk, scope, send, call)


async def _begin(desk: Desk, scope: Scope, send: Send, call: Call) -> None:
    url = await desk().begin(call.context, scope["path_params"]["gateway"])
    await send_nothing(send, 302, location=url)


async def _finish(desk: Desk, scope: Scope, send: Send, call: Call) -> None:
    raw: bytes = scope.get("query_string", b"")

    if len(raw) > _MAX_QUERY:
        raise InvalidArgument("The query is too long to be an authorization server's answer.")

    pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
    query = dict(pairs)

    # Two of one would let us judge another than somebody before us did.
    if len(query) < len(pairs):
        raise InvalidArgument("The query says something twice.")

    gateway = await desk().finish(call.context, query)
    await send_page(send, f"{gateway} may act for you now. You may close this window.")


async def _list(desk: Desk, scope: Scope, send: Send, call: Call) -> None:
    del scope
    await send_json(send, {"data": await desk().list(call.context)})


async def _revoke(desk: Desk, scope: Scope, send: Send, call: Call) -> None:
    await desk().revoke(call.context, scope["path_params"]["gateway"])
    await send_nothing(send)


async def _tell(
    deployment: Callable[[], Awaitable[Deployment]],
    scope: Scope,
    receive: Receive,
    send: Send,
    call: Call,
) -> None:
    del receive, call
    public_url = (await deployment()).public_url

    if public_url is None:
        raise nothing_at(scope)

    # Not needed where nobody acts for persons, and light then.
    from spindle_mcp.upstream.credentials.registration import client_metadata

    await send_json(send, {"client_id": f"{public_url}{DOCUMENT}", **client_metadata(public_url)})
