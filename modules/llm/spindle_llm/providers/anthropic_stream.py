"""Anthropic's streams in the lingua franca: named events in, chunks out.

Blocks are numbered among all blocks there, calls among calls here. Nothing is told before the first
block begins, so that an upstream which fails at once fails with a status of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from spindle_llm.providers.anthropic_answer import (
    THOUGHTS,
    annotations_of,
    ending,
    thought,
    usage_of,
)
from spindle_llm.providers.dialect import EVENT_LIMIT, EventDecoder
from spindle_llm.providers.refusals import told_in_stream
from spindle_llm.relay.answers import argument_text
from spindle_llm.relay.reasoning import DETAILS
from spindle_llm.relay.wire_json import read_object
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_llm.relay.sse import SseEvent
    from spindle_spi.types import Json, JsonObject

MAX_BLOCKS = 10_000
"""Blocks of one answer."""


class AnthropicDecoder(EventDecoder):
    """Takes the events of one stream."""

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        """Bound one event by `limit` bytes."""
        super().__init__(limit)
        self._head: JsonObject = {}
        self._usage: JsonObject = {}
        self._open: dict[int, _Block] = {}
        self._blocks = 0
        self._calls = 0
        self._thoughts = 0
        self._length = 0
        """Characters of content so far."""

    def take(self, event: SseEvent) -> Iterable[JsonObject]:
        """Return the chunks of an event; one nobody knows stands for nothing."""
        if not event.data:
            return ()

        fields, _ = read_object(event.data)

        match fields.get("type") or event.name:
            case "message_start":
                return self._start(_object(fields.get("message")))
            case "content_block_start":
                return self._begin(fields)
            case "content_block_delta":
                return self._delta(fields)
            case "content_block_stop":
                return self._stop(fields)
            case "message_delta":
                return self._end(fields)
            case "message_stop":
                self.is_done = True
                return self._total()
            case "error":
                raise told_in_stream(_object(fields.get("error")))
            case _:
                return ()

    def _start(self, message: JsonObject) -> Iterable[JsonObject]:
        if self._head:
            raise _garbage()

        self._head = {
            "id": message.get("id"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": message.get("model"),
        }
        self._usage.update(_object(message.get("usage")))
        return ()

    def _begin(self, fields: JsonObject) -> Iterable[JsonObject]:
        content = _object(fields.get("content_block"))
        self._blocks += 1

        if self._blocks > MAX_BLOCKS:
            raise _garbage()

        block = self._open[_index(fields)] = _Block(content, start=self._length)
        is_first = self._blocks == 1
        delta: JsonObject = {"role": "assistant"} if is_first else {}

        match block.kind:
            case "text":
                self._length += len(block.text("text"))
                delta["content"] = block.text("text")
            case "tool_use":
                block.number = self._calls
                self._calls += 1
                delta["tool_calls"] = [_opening(content, block.number)]
            case kind if kind in THOUGHTS:
                block.number = self._thoughts
                self._thoughts += 1
                delta[DETAILS] = [thought(content, block.number)]

                if kind == "thinking":
                    delta["reasoning_content"] = block.text("thinking")
            case _:
                return ()

        return (self._chunk(delta),)

    def _delta(self, fields: JsonObject) -> Iterable[JsonObject]:
        block = self._open.get(_index(fields))
        delta = _object(fields.get("delta"))

        if block is None:
            raise _garbage()

        # Nearly all there is of a stream.
        if delta.get("type") == "text_delta":
            text = delta.get("text")

            if not isinstance(text, str) or not text:
                return ()

            self._length += len(text)
            return (self._chunk({"content": text}),)

        match delta:
            case {"type": "input_json_delta", "partial_json": str(piece)} if (
                piece and block.kind == "tool_use"
            ):
                block.has_arguments = True
                return (self._arguments(block, piece),)
            case {"type": "thinking_delta", "thinking": str(text)} if text:
                entry: JsonObject = {**thought({"thinking": text}, block.number)}
                return (self._chunk({"reasoning_content": text, DETAILS: [entry]}),)
            case {"type": "signature_delta", "signature": str(signature)} if signature:
                entry = thought({"signature": signature}, block.number)
                return (self._chunk({DETAILS: [entry]}),)
            case {"type": "citations_delta", "citation": dict(citation)}:
                block.citations.append(citation)
                return ()
            case _:
                return ()

    def _stop(self, fields: JsonObject) -> Iterable[JsonObject]:
        block = self._open.pop(_index(fields), None)

        if block is None:
            raise _garbage()

        if block.kind == "tool_use" and not block.has_arguments:
            return (self._arguments(block, argument_text(block.content.get("input"))),)

        notes = annotations_of(block.citations, block.start, self._length)
        return (self._chunk({"annotations": notes}),) if notes else ()

    def _end(self, fields: JsonObject) -> Iterable[JsonObject]:
        # Counts are cumulative; one that is not said again stays.
        told = _object(fields.get("usage"))
        self._usage.update({name: value for name, value in told.items() if value is not None})
        end = ending(_object(fields.get("delta")))
        return (self._chunk({}, end),) if end["finish_reason"] is not None else ()

    def _total(self) -> Iterable[JsonObject]:
        usage = usage_of(self._usage)
        return () if usage is None else ({**self._head, "choices": [], "usage": usage},)

    def _arguments(self, block: _Block, piece: str) -> JsonObject:
        call: JsonObject = {"index": block.number, "function": {"arguments": piece}}
        return self._chunk({"tool_calls": [call]})

    def _chunk(self, delta: JsonObject, end: JsonObject | None = None) -> JsonObject:
        choice: JsonObject = {"index": 0, "delta": delta, **(end or {"finish_reason": None})}
        return {**self._head, "choices": [choice]}


class _Block:
    """A block that has begun and not ended."""

    __slots__ = ("citations", "content", "has_arguments", "kind", "number", "start")

    def __init__(self, content: JsonObject, *, start: int) -> None:
        self.content = content
        self.kind = content.get("type")
        self.start = start
        """Where in the content it begins, if it is a text."""
        self.number = 0
        """Its place among the blocks of its kind."""
        self.has_arguments = False
        self.citations: list[Json] = []

        known = content.get("citations")

        if isinstance(known, list):
            self.citations += known

    def text(self, name: str) -> str:
        """Return a text that the block begins with."""
        value = self.content.get(name)
        return value if isinstance(value, str) else ""


def _opening(content: JsonObject, number: int) -> JsonObject:
    return {
        "index": number,
        "id": content.get("id"),
        "type": "function",
        "function": {"name": content.get("name"), "arguments": ""},
    }


def _index(fields: JsonObject) -> int:
    index = fields.get("index")
    return index if isinstance(index, int) else 0


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _garbage() -> UpstreamError:
    return UpstreamError("The upstream's events are out of order.", code="upstream_garbage")
