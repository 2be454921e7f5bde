"""Chunks of the lingua franca as the events of one message: a block at a time, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.relay.reasoning import DETAILS
from spindle_llm.relay.wire_json import encode
from spindle_llm.surfaces.form import StreamWriter
from spindle_llm.surfaces.messages.blocks import message_id, stopped, thought_block
from spindle_llm.surfaces.messages.calls import Calls
from spindle_llm.surfaces.messages.tokens import Tally, usage_shown

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


class MessageWriter(StreamWriter):
    """Writes one stream.

    Signed thoughts are told from `reasoning_details`; `reasoning_content` counts where there are
    none. A second call of a tool begins once the first is whole.
    """

    def __init__(self, model: str, request_bytes: int) -> None:
        """Write the answer of a model to a request of this many bytes."""
        self._model = model
        self._tally = Tally(request_bytes)
        self._calls = Calls()
        self._started = False
        self._refused = False
        self._index = -1
        self._kind: str | None = None
        """Kind of the block that is open."""
        self._thought: Json = None
        """Which thought it is."""
        self._has_details = False
        self._end: JsonObject = {}
        self._usage: Json = None
        self._out: list[bytes] = []

    def take(self, chunk: JsonObject) -> bytes:
        """Return the events that a chunk stands for."""
        self._start(chunk)
        self._usage = chunk.get("usage") or self._usage
        choices = chunk.get("choices")

        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._take(choice)

        return self._written()

    def end(self) -> bytes:
        """Return what ends the message."""
        self._start({})
        is_cut = self._end.get("finish_reason") == "length"

        for opening, arguments in self._calls.rest(cut=is_cut):
            self._call(opening, arguments)

        self._close()
        self._event(
            "message_delta",
            delta=stopped(self._end, refused=self._refused),
            usage=usage_shown(self._usage, self._tally),
        )
        self._event("message_stop")
        return self._written()

    def _start(self, chunk: JsonObject) -> None:
        if self._started:
            return

        self._started = True
        self._event(
            "message_start",
            message={
                "id": message_id(chunk.get("id")),
                "type": "message",
                "role": "assistant",
                "model": self._model,
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": self._tally.input_tokens, "output_tokens": 0},
            },
        )

    def _take(self, choice: JsonObject) -> None:
        delta = choice.get("delta")
        fields = delta if isinstance(delta, dict) else {}
        self._thoughts(fields)

        for name in ("content", "refusal"):
            text = fields.get(name)

            if isinstance(text, str) and text:
                self._refused = self._refused or name == "refusal"
                self._open("text", {"type": "text", "text": ""}, name)
                self._grow({"type": "text_delta", "text": text}, text)

        calls = fields.get("tool_calls")

        for opening, arguments in self._calls.take(calls if isinstance(calls, list) else ()):
            self._call(opening, arguments)

        if choice.get("finish_reason") is not None:
            self._end = choice

    def _thoughts(self, fields: JsonObject) -> None:
        details = fields.get(DETAILS)

        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict):
                self._has_details = True
                self._detail(detail)

        text = fields.get("reasoning_content") or fields.get("reasoning")

        if not self._has_details and isinstance(text, str) and text:
            self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""}, None)
            self._grow({"type": "thinking_delta", "thinking": text}, text)

    def _detail(self, detail: JsonObject) -> None:
        block = thought_block(detail)

        if block is None:
            return

        if block["type"] == "redacted_thinking":
            self._close()
            self._open("redacted_thinking", block, detail.get("index"))
            return

        empty: JsonObject = {"type": "thinking", "thinking": "", "signature": ""}
        self._open("thinking", empty, detail.get("index"))
        text, signature = block["thinking"], block["signature"]

        if isinstance(text, str) and text:
            self._grow({"type": "thinking_delta", "thinking": text}, text)

        if signature:
            self._grow({"type": "signature_delta", "signature": signature}, "")

    def _call(self, opening: JsonObject | None, arguments: str) -> None:
        """Go on with a call, or begin one."""
        if opening is not None:
            self._close()
            self._open("tool_use", {"type": "tool_use", **opening, "input": {}}, None)

        if arguments:
            self._grow({"type": "input_json_delta", "partial_json": arguments}, arguments)

    def _open(self, kind: str, block: JsonObject, thought: Json) -> None:
        if self._kind == kind and self._thought == thought:
            return

        self._close()
        self._index += 1
        self._kind, self._thought = kind, thought
        self._event("content_block_start", index=self._index, content_block=block)

    def _grow(self, delta: JsonObject, text: str) -> None:
        self._tally.add(text)
        self._event("content_block_delta", index=self._index, delta=delta)

    def _close(self) -> None:
        if self._kind is not None:
            self._kind = self._thought = None
            self._event("content_block_stop", index=self._index)

    def _event(self, kind: str, **fields: Json) -> None:
        data = encode({"type": kind, **fields})
        self._out.append(b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n")

    def _written(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out
