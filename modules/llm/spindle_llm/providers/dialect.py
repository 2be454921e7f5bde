"""A dialect: how one operation is asked for and answered on the wire of an upstream. No I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from spindle_llm.providers.ledger import Ledger
from spindle_llm.relay.sse import SseParser
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spindle_llm.members import Members
    from spindle_llm.relay.sse import SseEvent
    from spindle_spi.records import ModelSpec
    from spindle_spi.types import JsonObject

EVENT_LIMIT = 16 * 1024 * 1024
"""Bytes of one event or line of a stream."""


class Form(StrEnum):
    """The forms of chat in which a surface and an upstream may agree byte for byte."""

    OPENAI = "openai"
    """The lingua franca."""
    ANTHROPIC = "anthropic"
    OWN = "own"
    """Spoken by one upstream alone."""


def _no_headers() -> dict[str, str]:
    # `dict[str, str]` as a default factory takes ten times as long.
    return {}


@dataclass(slots=True, kw_only=True)
class Encoded:
    """A request in an upstream's dialect.

    One is made for every call: not frozen, which costs three times as much. Nobody changes it.
    """

    body: bytes
    dropped: tuple[str, ...] = ()
    """Parameters that were left out."""
    headers: Mapping[str, str] = field(default_factory=_no_headers)
    """Headers of this request beside the provider's own."""


class StreamDecoder(ABC):
    """Turns the bytes of one streamed answer, at any cut, into chunks of the lingua franca."""

    is_done: bool = False
    """The upstream said that the answer is complete."""
    media_types: ClassVar[tuple[str, ...]] = ("text/event-stream",)
    """What the answer may call itself."""

    @abstractmethod
    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks that end in this read; what came before a failure comes first.

        Raises:
            UpstreamError: The upstream tells of an error, or sent what is none of the dialect.
        """

    @abstractmethod
    def close(self) -> Iterator[JsonObject]:
        """Yield what the end of the body completes.

        Raises:
            UpstreamError: As `feed`.
        """


class EventDecoder(StreamDecoder):
    """A decoder of server-sent events; a dialect says what one event stands for."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._parser = SseParser(limit)

    @abstractmethod
    def take(self, event: SseEvent) -> Iterable[JsonObject]:
        """Return the chunks an event stands for, possibly none.

        Raises:
            UpstreamError: The event tells of an error, or is none of the dialect.
        """

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks of the events that end in this read."""
        for event in self._parser.feed(data):
            if not self.is_done:
                yield from self.take(event)

    def close(self) -> Iterator[JsonObject]:
        """Yield the chunks of a last event that has no blank line."""
        for event in self._parser.close():
            if not self.is_done:
                yield from self.take(event)


class LineDecoder(StreamDecoder):
    """A decoder of lines of JSON; a dialect says what one line stands for."""

    media_types: ClassVar[tuple[str, ...]] = ("application/x-ndjson", "application/json")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self._limit = limit
        self._begun: list[bytes] = []
        """Pieces of a line whose end has not come."""
        self._size = 0

    @abstractmethod
    def take(self, line: bytes) -> Iterable[JsonObject]:
        """Return the chunks a line stands for, possibly none.

        Raises:
            UpstreamError: The line tells of an error, or is none of the dialect.
        """

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks of the lines that end in this read."""
        *ended, rest = data.split(b"\n")

        for line in ended:
            yield from self._whole(line)

        self._keep(rest)

    def close(self) -> Iterator[JsonObject]:
        """Yield the chunks of a last line that has no end."""
        yield from self._whole(b"")

    def _whole(self, last: bytes) -> Iterator[JsonObject]:
        self._keep(last)
        line = b"".join(self._begun).strip()
        self._begun.clear()
        self._size = 0

        if line and not self.is_done:
            yield from self.take(line)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)

        if self._size > self._limit:
            raise UpstreamError(
                "The upstream sent a line that is too large.", code="upstream_too_large"
            )

        if piece:
            self._begun.append(piece)


class Dialect(ABC):
    """One operation on the wire of one kind of upstream. Stateless."""

    ledger: Ledger = Ledger()

    @abstractmethod
    def url(self, base: str, model: str) -> str:
        """Return where a provider with this base URL is asked for a model of its own name."""


class ChatDialect(Dialect):
    """Chats: a request in the lingua franca out, a whole answer or a stream of chunks back."""

    form: ClassVar[Form] = Form.OWN
    """In which form bytes may pass without being translated."""

    @abstractmethod
    def encode(self, request: JsonObject, *, stream: bool, spec: ModelSpec) -> Encoded:
        """Return a request as bytes; its `model` is the upstream's name already.

        Raises:
            InvalidArgument: It cannot be said in this dialect.
            Unsupported: It asks for what the upstream cannot do.
        """

    @abstractmethod
    def decode(self, data: bytes) -> JsonObject:
        """Return a whole answer in the lingua franca.

        Raises:
            UpstreamError: It is no answer.
        """

    @abstractmethod
    def decoder(self, limit: int = EVENT_LIMIT) -> StreamDecoder:
        """Return a decoder for one streamed answer; `limit` bounds one event, in bytes."""

    def takes(self, members: Members, body: bytes) -> bool:
        """Tell whether a request in the dialect's own `form` can go on byte for byte."""
        del body
        return self.ledger.touched.isdisjoint(members)


class EmbeddingsDialect(Dialect):
    """Embeddings: `{"model", "input": [text or token list, …], "dimensions"?, …}` out."""

    max_inputs: ClassVar[int] = 2048
    """Inputs of one request."""

    @abstractmethod
    def encode(self, request: JsonObject, *, spec: ModelSpec) -> Encoded:
        """Return a request as bytes, asking for vectors in plain numbers.

        Raises:
            Unsupported: It asks for what the upstream cannot do.
        """

    @abstractmethod
    def decode(self, data: bytes) -> Embedded:
        """Return the vectors in the order of the inputs.

        Raises:
            UpstreamError: It is no such answer, or one is missing.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What an upstream made of some inputs."""

    vectors: Sequence[Sequence[float]]
    """In the order of the inputs."""
    input_tokens: int | None = None
    """None when the upstream does not say."""


class TokenCountDialect(Dialect):
    """Counting the tokens of a chat request without answering it."""

    @abstractmethod
    def encode(self, request: JsonObject, *, spec: ModelSpec) -> Encoded:
        """Return the request, a chat in the lingua franca, as bytes."""

    @abstractmethod
    def decode(self, data: bytes) -> int:
        """Return the number of tokens.

        Raises:
            UpstreamError: It is no such answer.
        """
