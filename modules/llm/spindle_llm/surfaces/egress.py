"""Bytes of an OpenAI-form upstream to bytes for the client, under the unified model name.

The usual event, a piece of text that differs from the last one in nothing but the text, is told by
comparing bytes and never parsed. Every other event is parsed and judged by the rules of the stream.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spindle_llm.relay.client import KEEP_ALIVE
from spindle_llm.relay.invariants import StreamRules, told_error
from spindle_llm.relay.sse import SseParser
from spindle_llm.relay.wire_json import encode, read_object
from spindle_llm.surfaces.renaming import is_text, rename_model
from spindle_spi.errors import GatewayError, UpstreamError

if TYPE_CHECKING:
    from spindle_llm.relay.invariants import Piece
    from spindle_llm.relay.sse import SseEvent
    from spindle_spi.types import JsonObject

DONE = b"data: [DONE]\n\n"

_DELTA = re.compile(rb'"delta": ?\{')
_TEXT = re.compile(
    rb'"(?:content|reasoning_content|reasoning|refusal)": ?"[^"\\\x00-\x1f]*'
    rb'(?:\\(?:["\\/bfnrt]|u(?:[0-9abcefABCEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))'
    rb'[^"\\\x00-\x1f]*)*"'
)
_PADDING = re.compile(rb', ?"obfuscation": ?"[0-9A-Za-z]*"\}')
_PADDING_LAST = re.compile(_PADDING.pattern + rb"\Z")
_TEXT_KEYS = frozenset({"content", "reasoning_content", "reasoning", "refusal"})


class StreamEgress:
    """One stream on its way to the client."""

    __slots__ = (
        "_head",
        "_model",
        "_new_head",
        "_padded",
        "_parser",
        "_tail",
        "_wants_usage",
        "failure",
        "is_done",
        "rules",
    )

    def __init__(self, rules: StreamRules, *, model: str, wants_usage: bool, limit: int) -> None:
        self.rules = rules
        self._model = model
        self._wants_usage = wants_usage
        self._parser = SseParser(limit)
        self._head: bytes | None = None
        """What the usual event begins with, as the upstream says it."""
        self._new_head = b""
        """The same as the client sees it."""
        self._tail = b""
        self._padded = False
        self.failure: GatewayError | None = None
        """The upstream told of an error, or sent what is no chat stream; nothing follows."""
        self.is_done = False
        """The upstream said `[DONE]`; what follows does not matter."""

    def feed(self, data: bytes) -> bytes:
        """Return what one read gives the client, possibly nothing.

        What came before an upstream's error in the same read goes out before it: how the bytes
        were cut makes no difference. Look at `failure` afterwards.
        """
        parser = self._parser
        comments = parser.comments
        out: list[bytes] = []

        try:
            for event in parser.feed(data):
                if not self.is_done:
                    # A comprehension would lose what came before a failure.
                    out.append(self._event(event))  # noqa: PERF401
        except GatewayError as exc:
            self.failure = exc

        if not out and parser.comments > comments and self.rules.deltas:
            return KEEP_ALIVE

        return out[0] if len(out) == 1 else b"".join(out)

    def check(self) -> None:
        """Raise the upstream's failure, if it told of one.

        Raises:
            UpstreamError: It did.
        """
        if self.failure is not None:
            raise self.failure

    def finish(self) -> bytes:
        """Return the end of the stream, once the upstream has come to its own.

        Raises:
            UpstreamError: It stopped in the middle of its answer.
        """
        out = self.close()
        out += [self._written(piece) for piece in self.rules.finish(with_usage=self._wants_usage)]
        out.append(DONE)
        return b"".join(out)

    def close(self) -> list[bytes]:
        """Return what the end of the body completes; asked again, nothing more.

        Raises:
            UpstreamError: As `finish`.
        """
        out = [] if self.is_done else [self._event(event) for event in self._parser.close()]

        if not self.is_done and not self.rules.is_whole:
            raise UpstreamError("The upstream cut its answer.", code="upstream_cut")

        return out

    def _event(self, event: SseEvent) -> bytes:
        name, data = event
        head = self._head

        if head is not None and data.startswith(head):
            match = _TEXT.match(data, len(head))

            if match is not None and self._is_tail(data, match.end()):
                self.rules.deltas += 1
                return self._new_head + data[len(head) :] + b"\n\n"

        if data == b"[DONE]":
            self.is_done = True
            return b""

        return self._judged(name, data)

    def _is_tail(self, data: bytes, start: int) -> bool:
        if not is_text(data):
            return False

        if not self._padded:
            return data[start:] == self._tail

        end = start + len(self._tail)
        return data[start:end] == self._tail and _PADDING.fullmatch(data, end) is not None

    def _judged(self, name: str, data: bytes) -> bytes:
        if not data:
            return b""

        chunk, text = read_object(data)

        if name == "error" and "choices" not in chunk:
            raise told_error(chunk)

        pieces = self.rules.take(chunk, text)
        self._head = None

        if len(pieces) == 1 and pieces[0].raw is not None:
            self._learn(pieces[0].chunk, pieces[0].raw)

        return b"".join([self._written(piece) for piece in pieces])

    def _written(self, piece: Piece) -> bytes:
        raw = piece.raw

        if raw is not None:
            renamed = rename_model(raw, self._model)

            if renamed is not None and b"\n" not in renamed:
                return b"data: " + renamed + b"\n\n"

        return b"data: " + encode(piece.chunk) + b"\n\n"

    def _learn(self, chunk: JsonObject, raw: bytes) -> None:
        """Take an event that is nothing but text as the form of those to come."""
        if not _is_only_text(chunk) or b"\n" in raw:
            return

        deltas = list(_DELTA.finditer(raw))

        if len(deltas) != 1:
            return

        start = deltas[0].end()
        match = _TEXT.match(raw, start)
        head = rename_model(raw[:start], self._model)

        if match is None or head is None or b'"model"' in raw[match.end() :]:
            return

        padding = _PADDING_LAST.search(raw, match.end())
        end = len(raw) if padding is None else padding.start()
        self._padded = padding is not None
        self._tail = raw[match.end() : end]
        self._head = raw[:start]
        self._new_head = b"data: " + head


def _is_only_text(chunk: JsonObject) -> bool:
    """Tell whether another text in the same place could not break a rule."""
    choices = chunk["choices"]

    if not isinstance(choices, list) or len(choices) != 1 or chunk.get("usage") is not None:
        return False

    choice = choices[0]

    if not isinstance(choice, dict) or choice.get("finish_reason") is not None:
        return False

    delta = choice.get("delta")
    return (
        isinstance(delta, dict)
        and len(delta) == 1
        and next(iter(delta)) in _TEXT_KEYS
        and choice.get("logprobs") is None
    )
