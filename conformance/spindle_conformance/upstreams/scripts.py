"""Scripted chat answers in OpenAI's form: one answer as an object, and as the chunks of a stream.

Data only: nothing here knows of sockets. The chunks of a script fold to its unary answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.types import Json, JsonObject

CREATED = 1_700_000_000
"""The `created` of every scripted answer, so that two runs give the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call the script makes."""

    name: str
    arguments: str
    """As text, because scripts may say what is not JSON."""
    id: str = "call_1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How events are written on the wire."""

    newline: str = "\n"
    field: str = "data: "
    preamble: str = ""
    """Text before the first event: a byte order mark, a comment."""
    done: bool = True
    """Whether `[DONE]` ends the stream."""
    last_blank: bool = True
    """Whether the last event is closed by its blank line."""
    split_data: bool = False
    """Whether an event's JSON is spread over two data lines."""


PLAIN_FRAMING = Framing()
CRLF_FRAMING = Framing(
    newline="\r\n", field="data:", preamble="\ufeff: hello\r\n\r\n", split_data=True
)
BARE_FRAMING = Framing(done=False, last_blank=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One scripted answer."""

    model: str
    content: str | None = None
    pieces: tuple[str, ...] = ()
    """The content as a stream shows it; joined, it is `content`."""
    reasoning: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    prompt_tokens: int = 11
    with_usage: bool = True
    choices: int = 1
    framing: Framing = PLAIN_FRAMING

    @property
    def id(self) -> str:
        """The id of the answer and of each of its chunks."""
        return f"chatcmpl-{self.model}"

    @property
    def usage(self) -> JsonObject:
        """The usage object of the answer: one completion token for each delta."""
        written = max(1, len(self.pieces) + len(self.reasoning) + len(self.calls)) * self.choices
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self.prompt_tokens + written,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": len(self.reasoning)},
        }

    def answer(self) -> JsonObject:
        """Return the unary answer."""
        body = self._head("chat.completion")
        body["choices"] = [
            {
                "index": index,
                "message": self._message(),
                "logprobs": None,
                "finish_reason": self.finish_reason,
            }
            for index in range(self.choices)
        ]

        if self.with_usage:
            body["usage"] = self.usage

        return body

    def chunks(self, *, include_usage: bool = True) -> tuple[JsonObject, ...]:
        """Return the chunks of the stream; choices are interleaved."""
        deltas: list[JsonObject] = [{"role": "assistant", "content": ""}]
        deltas += _text_deltas("reasoning_content", self.reasoning)
        deltas += _text_deltas("content", self.pieces)

        for index, call in enumerate(self.calls):
            deltas += _call_deltas(index, call)

        usage = include_usage and self.with_usage
        chunks = [
            self._chunk(choice, delta, None, usage=usage)
            for delta in deltas
            for choice in range(self.choices)
        ]
        chunks += [
            self._chunk(choice, {}, self.finish_reason, usage=usage)
            for choice in range(self.choices)
        ]

        if usage:
            last = self._head("chat.completion.chunk")
            chunks.append({**last, "choices": [], "usage": self.usage})

        return tuple(chunks)

    def unary_bytes(self) -> bytes:
        """Return the unary answer's body."""
        return dump(self.answer())

    def stream_bytes(self, *, include_usage: bool = True) -> bytes:
        """Return the stream's body."""
        return frame(self.chunks(include_usage=include_usage), self.framing)

    def _head(self, kind: str) -> JsonObject:
        return {"id": self.id, "object": kind, "created": CREATED, "model": self.model}

    def _chunk(
        self, choice: int, delta: JsonObject, finish_reason: str | None, *, usage: bool
    ) -> JsonObject:
        chunk = self._head("chat.completion.chunk")
        chunk["choices"] = [
            {"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        ]

        if usage:
            chunk["usage"] = None

        return chunk

    def _message(self) -> JsonObject:
        message: JsonObject = {"role": "assistant", "content": self.content, "refusal": None}

        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)

        if self.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.calls
            ]

        return message


def dump(value: Json) -> bytes:
    """Return JSON as an upstream writes it: compact, with its characters unescaped."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def frame(events: Sequence[JsonObject], framing: Framing = PLAIN_FRAMING) -> bytes:
    """Return events as server-sent events."""
    texts = [_event(dump(event).decode(), framing) for event in events]

    if framing.done:
        texts.append(f"{framing.field}[DONE]{framing.newline}{framing.newline}")

    text = framing.preamble + "".join(texts)
    return (text if framing.last_blank else text.rstrip("\r\n")).encode()


def split_text(text: str, size: int) -> tuple[str, ...]:
    """Cut a text into pieces of `size` characters."""
    return tuple(text[start : start + size] for start in range(0, len(text), size))


def _event(data: str, framing: Framing) -> str:
    lines = [data]

    if framing.split_data:
        # Between two members of the object a line break changes nothing for a JSON reader.
        head, comma, tail = data.partition(",")
        lines = [head + comma, tail]

    body = "".join(f"{framing.field}{line}{framing.newline}" for line in lines)
    return body + framing.newline


def _text_deltas(name: str, pieces: Sequence[str]) -> list[JsonObject]:
    return [{name: piece} for piece in pieces]


def _call_deltas(index: int, call: ToolCall) -> list[JsonObject]:
    first: JsonObject = {
        "index": index,
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    rest: list[JsonObject] = [
        {"index": index, "function": {"arguments": piece}}
        for piece in split_text(call.arguments, 5)
    ]
    return [{"tool_calls": [entry]} for entry in (first, *rest)]
