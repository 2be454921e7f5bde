"""A cross-protocol call as data, and its results."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, runtime_checkable

from spindle_spi.admission import Permit, TokenUsage
from spindle_spi.policy import Action
from spindle_spi.records import Target
from spindle_spi.types import JsonObject

MAX_DEPTH = 4
"""How deep cross-protocol calls may nest before the core refuses."""


def _nothing() -> JsonObject:
    # One call makes several, and `dict[str, Json]` as a default factory takes ten times as long.
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a long call is."""

    progress: float
    total: float | None = None
    message: str | None = None


ProgressSink: TypeAlias = Callable[[Progress], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A call on a record, from whoever needs it to whoever serves it.

    `arguments` is the neutral payload of the kind: a tool's JSON arguments, a model's chat
    request in OpenAI's form, `{"uri": …}` for a resource, `{"arguments": …}` for a prompt.
    When it reaches the owner it carries the permit: the owner admits nothing again for that
    record, runs no hooks on it and does not settle it.
    """

    target: Target
    action: Action = Action.EXECUTE
    arguments: JsonObject = field(default_factory=_nothing)
    permit: Permit | None = None
    client_capabilities: JsonObject = field(default_factory=_nothing)
    responses: JsonObject = field(default_factory=_nothing)
    """The client's answers to an `InputRequired`, by the names of its requests."""
    state: str | None = None
    """The state of the `InputRequired` that is answered."""
    hints: JsonObject = field(default_factory=_nothing)
    """Whatever else helps the owner; it must be right without."""
    stream: bool = False
    deadline: float | None = None
    """Seconds on the monotonic clock of the host; None means the record's own timeout rules."""
    depth: int = 0
    lease_id: str | None = None
    """Lease the permit shall belong to; None means the one of the call's request id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The whole result, such as a tool's `{"content", "structuredContent"?, "isError"?}`."""

    payload: JsonObject
    usage: TokenUsage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRequired:
    """The owner needs something from the client before it can go on."""

    requests: JsonObject
    state: str | None = None
    """Opaque to everybody but the owner; sealed by the surface that shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """One event of a streamed result: for a model, a chunk in the lingua franca."""

    payload: JsonObject


@dataclass(frozen=True, slots=True)
class Streaming:
    """A streamed result; passes by reference in-process. Close it to cancel."""

    events: AsyncIterator[StreamEvent]

    async def close(self) -> None:
        """Tell the owner that nobody reads on. Idempotent."""
        await close_iterator(self.events)


Result: TypeAlias = Complete | InputRequired | Streaming


@runtime_checkable
class Closable(Protocol):
    """An iterator that holds something until it is closed; async generators are such."""

    async def aclose(self) -> None:
        """Let go of it. Idempotent."""
        ...


async def close_iterator(items: AsyncIterator[object]) -> None:
    """Close a stream or a subscription, if it is of the kind that wants to be closed."""
    if isinstance(items, Closable):
        await items.aclose()
