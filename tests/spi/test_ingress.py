"""What a handler receives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from spindle_spi.context import AuthenticatedContext
from spindle_spi.ingress import PUBLIC, Call, IngressRoute, documentation_of
from spindle_spi.operation import OperationDoc, json_response
from tests.spi.derived import sample_of

if TYPE_CHECKING:
    from spindle_spi.ingress import Documentation
    from spindle_spi.types import Receive, Scope, Send


def test_a_call_knows_its_request_and_the_time_it_has_left() -> None:
    """Without a deadline it has all the time."""
    context: AuthenticatedContext = sample_of(AuthenticatedContext)
    assert Call(context).request_id == context.trace.request_id
    assert Call(context).remaining() is None
    left = Call(context, deadline=time.monotonic() + 60).remaining()
    assert left is not None
    assert 0 < left <= 60


async def never(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
    raise NotImplementedError


def route(operation: Documentation | None) -> IngressRoute:
    return IngressRoute(
        method="GET", path="/x", permission=PUBLIC, handler=never, operation=operation
    )


def test_a_route_may_bring_its_documentation_or_how_to_make_it() -> None:
    """Made when somebody asks; a route that says nothing has none."""
    said = OperationDoc(
        summary="Look", responses={"200": json_response("There.", {"type": "object"})}
    )
    made: list[int] = []

    def make() -> OperationDoc:
        made.append(1)
        return said

    late = route(make)
    assert made == []
    assert documentation_of(late) is said
    assert documentation_of(route(said)) is said
    assert documentation_of(route(None)) is None
    assert said.responses["200"].content == {"application/json": {"type": "object"}}
