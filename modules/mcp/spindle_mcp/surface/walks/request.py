"""A request as the walks take it, whichever path of the surface read it."""

from __future__ import annotations

from dataclasses import dataclass, field

from spindle_mcp.upstream.connections.base import Peer
from spindle_spi.context import AuthenticatedContext
from spindle_spi.types import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernedRequest:
    """One request for a tool, a resource, a prompt or a completion."""

    name: str
    arguments: JsonObject
    meta: JsonObject = field(default_factory=dict[str, Json])
    """What of the message's `_meta` goes on to upstreams."""
    peer: Peer | None = None
    wants_progress: bool = False
    responses: JsonObject = field(default_factory=dict[str, Json])
    """What the client answers to an earlier round."""
    state: Json = None
    """What it was given to hold in that round."""
    traceparent: str | None = None
    """The trace that the message itself names."""
    caller: AuthenticatedContext | None = None
    """For whom, where an upstream is shown that."""
    outlives: bool = False
    """The call goes on when its HTTP exchange ends: so it is before 2026."""
