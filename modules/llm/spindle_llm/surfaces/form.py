"""What a chat surface is made of: a request that was judged, and how its clients are spoken to.

A surface translates its clients' dialect to the lingua franca (OpenAI's chat form) and back; all
else (admission, plugins, upstreams, settling) is the same for each of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from spindle_spi.admission import Estimate
    from spindle_spi.errors import GatewayError
    from spindle_spi.shapes import ErrorShape
    from spindle_spi.types import JsonObject


class Asked(Protocol):
    """A chat request, whatever dialect it came in."""

    @property
    def body(self) -> bytes:
        """The request as it came."""
        ...

    @property
    def model(self) -> str | None:
        """What the client calls the model; None when it names none."""
        ...

    @property
    def stream(self) -> bool:
        """Whether the answer is to be a stream."""
        ...

    @property
    def estimate(self) -> Estimate:
        """What it may cost at most."""
        ...

    def parsed(self) -> JsonObject:
        """Return the whole request in the lingua franca; `model` and `stream` do not matter.

        Raises:
            InvalidArgument: It cannot be understood.
            Unsupported: It asks for what cannot be said in the lingua franca.
        """
        ...


class StreamWriter(ABC):
    """Writes one stream: chunks of the lingua franca in, events of the surface out."""

    @abstractmethod
    def take(self, chunk: JsonObject) -> bytes:
        """Return the events that a chunk stands for, possibly none.

        The chunks are well-formed (`relay.invariants`) and have passed the guard. The last one has
        no choices and carries the usage, if there is any.
        """

    @abstractmethod
    def end(self) -> bytes:
        """Return what ends a stream that went well."""


class ChatForm(ABC):
    """How one chat surface speaks to the client of one request."""

    shape: ErrorShape
    """Its error table."""
    dropped: tuple[str, ...] = ()
    """Parameters of the request that the surface itself left out."""

    @abstractmethod
    def answer(self, answer: JsonObject) -> bytes:
        """Return a whole answer of the lingua franca as this surface's body.

        Raises:
            RecursionError: It is nested too deeply.
        """

    @abstractmethod
    def writer(self, model: str) -> StreamWriter:
        """Return a writer for one stream of a model under its unified name."""

    @abstractmethod
    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return an error as the last event of a stream that has begun."""
