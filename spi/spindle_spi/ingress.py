"""How a module takes traffic: routes that say their permission, and the call they receive."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from spindle_spi.context import AuthenticatedContext
from spindle_spi.operation import OperationDoc
from spindle_spi.shapes import ENVELOPE, ErrorShape
from spindle_spi.types import Receive, Scope, Send


class Public(Enum):
    """The type of `PUBLIC`."""

    PUBLIC = "PUBLIC"


PUBLIC: Final = Public.PUBLIC
"""Marks a route that needs no caller. Saying nothing is not possible."""


class AnyCaller(Enum):
    """The type of `ANY_CALLER`."""

    ANY_CALLER = "ANY_CALLER"


ANY_CALLER: Final = AnyCaller.ANY_CALLER
"""Marks a route that needs a caller and no permission: it shows each caller their own alone."""

CALL_SCOPE_KEY: Final = "spindle.call"
"""Where an ASGI sub-application finds the `Call` in its scope."""


class Call:
    """What an ingress handler gets beside raw ASGI. Created by the core for each request."""

    __slots__ = ("context", "deadline", "depth", "server_slug", "view_key")

    def __init__(
        self,
        context: AuthenticatedContext,
        *,
        view_key: str = "",
        deadline: float | None = None,
        depth: int = 0,
        server_slug: str | None = None,
    ) -> None:
        self.context = context
        self.view_key = view_key
        """Equal exactly when two callers' lists are equal."""
        self.deadline = deadline
        """On the monotonic clock; None when the client set none."""
        self.depth = depth
        self.server_slug = server_slug
        """The virtual server the path named, resolved by the core."""

    @property
    def request_id(self) -> str:
        """The id of this request, in every log, span, usage row and error."""
        return self.context.trace.request_id

    def remaining(self) -> float | None:
        """Return the seconds left, or None without a deadline."""
        return None if self.deadline is None else self.deadline - time.monotonic()


Handler: TypeAlias = Callable[[Scope, Receive, Send, Call], Awaitable[None]]
Documentation: TypeAlias = OperationDoc | Callable[[], OperationDoc | None]
"""What a route says of itself, or how to look it up: that is done when somebody reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """What a client that is refused at a route is told of how it may come in (RFC 9728, 6750)."""

    metadata: str
    """What stands before the path of the request in the path of its resource's metadata."""
    scopes: tuple[str, ...] = ()
    """Everything a client needs to be let in and to use what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressRoute:
    """One method of one path. `{name}` is one segment, `{name:path}` the rest."""

    method: str
    path: str
    permission: str | Public | AnyCaller
    handler: Handler
    errors: ErrorShape = ENVELOPE
    server_param: str | None = None
    """The path parameter that names a virtual server; the core resolves it first."""
    body_limit: int | None = None
    """Bytes; None means the host's."""
    operation: Documentation | None = None
    """For the host's OpenAPI document, which names the route even without it."""
    challenge: Challenge | None = None
    """Said with a 401 and a 403 where an identity provider is configured; None says nothing."""


def documentation_of(route: IngressRoute) -> OperationDoc | None:
    """Return what a route says of itself, if it says anything."""
    operation = route.operation
    return operation() if callable(operation) else operation


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressPrefix:
    """A part of the path space in which this module's error shape answers the unknown."""

    prefix: str
    errors: ErrorShape
