"""Anthropic's messages surface as its SDK reads it: named events, blocks one after the other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from spindle_conformance.parity.readers.base import (
    Event,
    Reader,
    Streamed,
    events_of,
    inner,
    object_of,
    objects,
    text,
    whole_number,
)
from spindle_conformance.parity.said import Said, SaidCall, SaidChoice, SaidUsage, meant, require

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_DELTAS = {
    "text": {"text_delta": "text", "citations_delta": ""},
    "thinking": {"thinking_delta": "thinking", "signature_delta": "signature"},
    "tool_use": {"input_json_delta": "partial_json"},
    "redacted_thinking": {},
}
"""By the type of a block: the deltas it may get, and which member each of them adds to."""


class MessagesReader(Reader):
    """`/v1/messages`."""

    surface: ClassVar[str] = "messages"

    def whole(self, body: bytes) -> Said:
        """Return what a `message` says."""
        message = object_of(body, "an answer is a JSON object")
        _require_message(message)
        require(message.get("stop_reason") in _FINISH, "a stop reason is known", message)
        blocks = objects(message.get("content"), "content is a list of blocks")

        for block in blocks:
            if block.get("type") == "tool_use":
                block["arguments"] = json.dumps(inner(block, "input"))

        return _said(message, blocks, text(message.get("stop_reason")), inner(message, "usage"))

    def stream(self, body: bytes) -> Streamed:
        """Return what the events say, put together."""
        fold = _Fold()

        for event in events_of(body):
            fold.add(event)

        return fold.streamed()


class _Fold:
    def __init__(self) -> None:
        self._message: JsonObject | None = None
        self._blocks: list[JsonObject] = []
        self._is_open = False
        self._reason = ""
        self._usage: JsonObject = {}
        self._is_over = False
        self._failed = False

    def add(self, event: Event) -> None:
        data = event.json()
        kind = text(data.get("type"))
        require(event.name == kind, "an event is named by its type", event)
        require(not self._is_over and not self._failed, "nothing follows the end", event)

        if kind == "ping":
            return

        if kind == "error":
            error = inner(data, "error")
            require(error.get("type") and error.get("message"), "an error says what it is", error)
            self._failed = True
            return

        if kind == "message_start":
            require(self._message is None, "a message starts once", data)
            self._message = inner(data, "message")
            _require_message(self._message)
            require(self._message.get("content") == [], "a message starts empty", data)
            self._usage = dict(inner(self._message, "usage"))
            return

        require(self._message is not None, "a message starts first", data)
        self._add_inside(kind, data)

    def streamed(self) -> Streamed:
        if not self._failed:
            require(self._is_over, "a stream ends in message_stop or in an error")

        message = self._message or {"model": ""}
        said = _said(message, self._blocks, self._reason, self._usage)
        return Streamed(said=said, failed=self._failed)

    def _add_inside(self, kind: str, data: JsonObject) -> None:
        match kind:
            case "content_block_start":
                require(not self._is_open, "blocks follow each other", data)
                require(not self._reason, "no block follows the stop reason", data)
                require(data.get("index") == len(self._blocks), "blocks are counted from 0", data)
                self._is_open = True
                self._blocks.append(_begun(inner(data, "content_block")))
            case "content_block_delta":
                self._require_open(data)
                _extend(self._blocks[-1], inner(data, "delta"))
            case "content_block_stop":
                self._require_open(data)
                self._is_open = False
            case "message_delta":
                require(not self._is_open, "blocks end before the message does", data)
                require(not self._reason, "the stop reason is said once", data)
                self._reason = text(inner(data, "delta").get("stop_reason"))
                require(self._reason in _FINISH, "a stop reason is known", data)
                self._usage |= inner(data, "usage")
            case "message_stop":
                require(self._reason, "a message ends with its stop reason", data)
                self._is_over = True
            case _:
                require(False, "an event is one that clients know", kind)

    def _require_open(self, data: JsonObject) -> None:
        require(self._is_open, "a delta is of a block that is open", data)
        require(data.get("index") == len(self._blocks) - 1, "it is of the last block", data)


def _begun(block: JsonObject) -> JsonObject:
    kind = text(block.get("type"))
    require(kind in _DELTAS, "a block is one that clients know", block)

    if kind == "tool_use":
        require(block.get("input") == {}, "a call starts without input", block)
        return {**block, "arguments": ""}

    return dict(block)


def _extend(block: JsonObject, delta: JsonObject) -> None:
    known = _DELTAS[text(block.get("type"))]
    kind = text(delta.get("type"))
    require(kind in known, "a delta fits its block", (block, delta))
    member = known[kind]

    if member:
        name = "arguments" if member == "partial_json" else member
        block[name] = text(block.get(name)) + text(delta.get(member))


def _require_message(message: JsonObject) -> None:
    require(message.get("type") == "message", "type is message", message)
    require(message.get("role") == "assistant", "the role is assistant", message)
    require(isinstance(message.get("id"), str), "a message has an id", message)


def _said(message: JsonObject, blocks: list[JsonObject], reason: str, usage: JsonObject) -> Said:
    def joined(kind: str, member: str) -> str:
        return "".join(text(block.get(member)) for block in blocks if block.get("type") == kind)

    calls = tuple(
        SaidCall(
            id=text(block.get("id")),
            name=text(block.get("name")),
            arguments=meant(text(block.get("arguments"))),
        )
        for block in blocks
        if block.get("type") == "tool_use"
    )
    choice = SaidChoice(
        text=joined("text", "text"),
        reasoning=joined("thinking", "thinking"),
        calls=calls,
        finish=_FINISH.get(reason, ""),
        signatures=tuple(text(block["signature"]) for block in blocks if block.get("signature")),
        redacted=tuple(text(block["data"]) for block in blocks if block.get("data")),
    )
    cached, written = _count(usage, "cache_read"), _count(usage, "cache_creation")
    return Said(
        model=text(message.get("model")),
        choices=(choice,),
        usage=SaidUsage(
            prompt=_count(usage, "") + cached + written,
            completion=whole_number(usage.get("output_tokens")),
            cached=cached,
            cache_write=written,
        ),
    )


def _count(usage: JsonObject, name: str) -> int:
    value: Json = usage.get(f"{name}_input_tokens" if name else "input_tokens")
    return whole_number(value)
