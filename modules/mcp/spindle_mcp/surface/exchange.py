"""One HTTP request of an MCP client as the surface carries it: the core's call and its view."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import INTERNAL_ERROR
from starlette.requests import Request

from spindle_mcp.surface.shelf.views import View
from spindle_spi.errors import Internal
from spindle_spi.ingress import CALL_SCOPE_KEY, Call

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

    from spindle_spi.types import Scope

MESSAGES: Final = "/sse/messages"
"""Where clients of 2024-11-05 post to, as their stream tells them; the session is in the query.

Below the stream's own path, so that a token for that one endpoint holds for both.
"""

_VIEW_KEY: Final = "spindle.mcp.view"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, on which endpoint, and what they see there."""

    call: Call
    view: View


CURRENT: Final[ContextVar[Asked | None]] = ContextVar("spindle_mcp_asked", default=None)
"""For the SDK's callbacks that are given no request."""


def put(scope: Scope, asked: Asked) -> None:
    """Leave it where the handlers of this message find it."""
    scope[CALL_SCOPE_KEY] = asked.call
    scope[_VIEW_KEY] = asked.view


def take(scope: Scope) -> Asked:
    """Return what `put` left.

    Raises:
        Internal: The message did not come through the endpoint.
    """
    call, view = scope.get(CALL_SCOPE_KEY), scope.get(_VIEW_KEY)

    if not isinstance(call, Call) or view is None:
        raise Internal("The request did not come through ingress.")

    return Asked(call, view)


def asked_in(ctx: ServerRequestContext[dict[str, Any]]) -> Asked:
    """Return who asks what the SDK hands to a handler.

    Raises:
        MCPError: The message did not come over HTTP.
        Internal: The message did not come through the endpoint.
    """
    request = ctx.request

    if not isinstance(request, Request):
        raise MCPError(INTERNAL_ERROR, "The request did not come over HTTP.")

    return take(request.scope)


def session_id_in(ctx: ServerRequestContext[dict[str, Any]]) -> str | None:
    """Return the session a message belongs to, if it names one."""
    request = ctx.request

    if not isinstance(request, Request):
        return None

    if request.url.path.endswith(MESSAGES):
        return request.query_params.get("session_id")

    return request.headers.get("mcp-session-id")
