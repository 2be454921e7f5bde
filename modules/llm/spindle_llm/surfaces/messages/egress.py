"""Bytes of an upstream that speaks Anthropic's form to bytes for the client.

Only the model's name is changed. What an event says is read as far as the ledger needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from spindle_llm.members import DuplicateKey, locate, splice
from spindle_llm.providers.anthropic_answer import FINISH_OF, usage_of
from spindle_llm.providers.refusals import told_in_stream
from spindle_llm.relay.client import KEEP_ALIVE
from spindle_llm.relay.sse import SseParser
from spindle_llm.relay.usage import estimated_usage, told_usage
from spindle_llm.relay.wire_json import UNREADABLE, encode, read_object
from spindle_spi.errors import GatewayError, UpstreamError

if TYPE_CHECKING:
    from spindle_llm.relay.journal import Journal
    from spindle_llm.relay.sse import SseEvent
    from spindle_spi.types import Json, JsonObject


class _Kind(msgspec.Struct):
    type: str


_KIND: Final = msgspec.json.Decoder(_Kind)
_BEFORE: Final = frozenset({"message_start", "ping"})
"""What an upstream may say before it fails at once."""


def outgoing_message(data: bytes, *, model: str, journal: Journal, sent_bytes: int) -> bytes:
    """Return a whole message as the client gets it; usage and stop reason go into the journal.

    Raises:
        GatewayError: It is an error under status 200.
        UpstreamError: It is no message.
    """
    message, text = read_object(data)

    if message.get("type") == "error":
        raise told_in_stream(message.get("error"))

    if not isinstance(message.get("content"), list):
        raise UpstreamError("The upstream sent no message.", code="upstream_garbage")

    note_end(journal, message)
    journal.response_id = _id_of(message)
    journal.usage = told_usage(usage_of(message.get("usage"))) or estimated_usage(
        request_bytes=sent_bytes, output_bytes=len(data)
    )
    return _renamed(text, message, model)


def note_end(journal: Journal, fields: JsonObject) -> None:
    """Take the reason why a message ended."""
    reason = fields.get("stop_reason")

    if isinstance(reason, str):
        journal.finish_reasons = (FINISH_OF.get(reason, "stop"),)


def _id_of(message: JsonObject) -> str | None:
    said = message.get("id")
    return said if isinstance(said, str) else None


class MessageEgress:
    """One stream on its way to the client."""

    __slots__ = (
        "_deltas",
        "_held",
        "_model",
        "_parser",
        "_usage",
        "end",
        "failure",
        "id",
        "is_done",
    )

    def __init__(self, *, model: str, limit: int) -> None:
        """Name the model, and bound one event by `limit` bytes."""
        self._model = model
        self._parser = SseParser(limit)
        self._held: list[bytes] | None = []
        """What came before the first block: an upstream that fails at once fails by its status."""
        self._usage: JsonObject = {}
        self._deltas = 0
        self.end: JsonObject = {}
        """Why the message ended."""
        self.id: str | None = None
        """What the message calls itself."""
        self.failure: GatewayError | None = None
        """The upstream told of an error, or sent what is no stream; nothing follows."""
        self.is_done = False

    def feed(self, data: bytes) -> bytes:
        """Return what one read gives the client; what came before a failure goes out before it."""
        comments = self._parser.comments
        out: list[bytes] = []

        try:
            for event in self._parser.feed(data):
                if not self.is_done:
                    # A comprehension would lose what came before a failure.
                    out.append(self._event(event))  # noqa: PERF401
        except GatewayError as exc:
            self.failure = exc

        if not out and self._parser.comments > comments and self._held is None:
            return KEEP_ALIVE

        return b"".join(out)

    def check(self) -> None:
        """Raise what the last read failed with, if it did."""
        if self.failure is not None:
            raise self.failure

    def finish(self) -> bytes:
        """Return what the end of the body completes.

        Raises:
            UpstreamError: The upstream stopped in the middle of its message.
        """
        out = [] if self.is_done else [self._event(event) for event in self._parser.close()]

        if not self.is_done:
            raise UpstreamError("The upstream cut its answer.", code="upstream_cut")

        return b"".join(out)

    def note(self, journal: Journal, sent_bytes: int) -> None:
        """Write into the journal what the stream came to so far, if it came to anything."""
        if self._usage or self._deltas:
            note_end(journal, self.end)
            journal.response_id = self.id
            journal.usage = told_usage(usage_of(self._usage)) or estimated_usage(
                request_bytes=sent_bytes, output_tokens=self._deltas
            )

    def _event(self, event: SseEvent) -> bytes:
        name, data = event

        if not data:
            return b""

        kind, data = self._judged(name, data)
        # A line end can only stand between values: strings have them escaped.
        line = data.replace(b"\n", b" ").strip()
        framed = b"".join((b"event: ", kind.encode(), b"\ndata: ", line, b"\n\n"))

        if self._held is None:
            return framed

        self._held.append(framed)

        if kind in _BEFORE:
            return b""

        held, self._held = self._held, None
        return b"".join(held)

    def _judged(self, name: str, data: bytes) -> tuple[str, bytes]:
        """Return an event's kind and its text under the unified name."""
        try:
            data.decode()
            kind = _KIND.decode(data).type
        except UNREADABLE:
            fields, data = read_object(data)
            kind = str(fields.get("type") or name)

        match kind:
            case "content_block_delta":
                self._deltas += 1
            case "message_start":
                data = self._start(data)
            case "message_delta":
                fields, _ = read_object(data)
                self._count(fields.get("usage"))
                delta = fields.get("delta")
                self.end = delta if isinstance(delta, dict) else {}
            case "message_stop":
                self.is_done = True
            case "error":
                error = read_object(data)[0].get("error")
                raise told_in_stream(error if isinstance(error, dict) else {})
            case _:
                pass

        if "\n" in kind or "\r" in kind or not kind:
            raise UpstreamError("The upstream sent no event of a message.", code="upstream_garbage")

        return kind, data

    def _start(self, data: bytes) -> bytes:
        fields, text = read_object(data)
        message = fields.get("message")

        if not isinstance(message, dict):
            raise UpstreamError("The upstream sent no message.", code="upstream_garbage")

        self._count(message.get("usage"))
        self.id = _id_of(message)

        try:
            members = locate(text)
            start, end = members["message"]
            inner = text[start:end]
            renamed = splice(inner, locate(inner), {"model": encode_name(self._model)})
            return splice(text, members, {"message": renamed})
        except DuplicateKey:
            return encode({**fields, "message": {**message, "model": self._model}})

    def _count(self, told: Json) -> None:
        """Take token counts; they are cumulative, and one that is not said again stays."""
        if isinstance(told, dict):
            self._usage.update({name: value for name, value in told.items() if value is not None})


def encode_name(name: str) -> bytes:
    """Return a model's name as JSON."""
    return msgspec.json.encode(name)


def _renamed(text: bytes, message: JsonObject, model: str) -> bytes:
    try:
        return splice(text, locate(text), {"model": encode_name(model)})
    except DuplicateKey:
        return encode({**message, "model": model})
