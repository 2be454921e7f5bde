"""Routes of the control plane as data, and how they become routes of the ingress."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from spindle.api.request import Request
from spindle.authority import need
from spindle_spi.ingress import AnyCaller, IngressRoute, Public

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from spindle.api.response import Response
    from spindle.core import Core
    from spindle_spi.ingress import Call, Handler
    from spindle_spi.operation import OperationDoc
    from spindle_spi.types import Receive, Scope, Send

Answer: TypeAlias = "Callable[[Core, Request], Awaitable[Response]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRoute:
    """One method of one path of the control plane."""

    method: str
    path: str
    permission: str | Public | AnyCaller
    answer: Answer
    body_limit: int = 1_048_576
    is_platform: bool = False
    """It is about no team's things: holding the permission in a team is not enough."""


def mounted(routes: Iterable[ApiRoute], core: Core | None) -> tuple[IngressRoute, ...]:
    """Return the routes over a core; without one they are an inventory, not for serving."""
    return tuple(
        IngressRoute(
            method=route.method,
            path=route.path,
            permission=route.permission,
            handler=_unserved if core is None else _handler(route, core),
            body_limit=route.body_limit,
            operation=partial(documentation, route.method, route.path),
        )
        for route in routes
    )


def documentation(method: str, path: str) -> OperationDoc:
    """Return what is said of a route of the core; it is loaded when it is asked for."""
    from spindle.api.documentation.table import documented

    return documented(method, path)


def _handler(route: ApiRoute, core: Core) -> Handler:
    async def handle(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        # The ingress asked whether it is held at all, which a role in some team answers.
        if route.is_platform and isinstance(route.permission, str):
            need(call.context, route.permission)

        response = await route.answer(core, Request(scope, receive, call))
        await response.send(send)

    return handle


async def _unserved(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
    raise NotImplementedError
