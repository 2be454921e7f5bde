"""Scripted chat answers in OpenAI's form: one answer as an object, and as the chunks of a stream.

A short way to say what `answers` says for every dialect. Data only: nothing here knows of sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import (
    Answer,
    Call,
    Choice,
    Finish,
    Part,
    Text,
    Thought,
    Usage,
    usage_of,
)
from spindle_conformance.upstreams.dialects.openai import CREATED, OPENAI, usage_object
from spindle_conformance.upstreams.framing import (
    BARE_FRAMING,
    CRLF_FRAMING,
    PLAIN_FRAMING,
    Framing,
    dump,
    frame,
    split_text,
)

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

__all__ = [
    "BARE_FRAMING",
    "CREATED",
    "CRLF_FRAMING",
    "PLAIN_FRAMING",
    "Framing",
    "Script",
    "ToolCall",
    "dump",
    "frame",
    "split_text",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call the script makes."""

    name: str
    arguments: str
    """As text, because scripts may say what is not JSON."""
    id: str = "call_1"


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

    @classmethod
    def of(cls, answer: Answer, framing: Framing = PLAIN_FRAMING) -> Script:
        """Return an answer that consists of reasoning, content and calls as a script."""
        choice = answer.choices[0]
        calls = [
            ToolCall(name=call.name, arguments=call.arguments, id=call.id) for call in choice.calls
        ]
        return cls(
            model=answer.model,
            content=choice.text if choice.of(Text) else None,
            pieces=tuple(piece for part in choice.of(Text) for piece in part.pieces),
            reasoning=tuple(piece for part in choice.of(Thought) for piece in part.pieces),
            calls=tuple(calls),
            finish_reason=choice.finish.value,
            prompt_tokens=(answer.usage or Usage()).prompt,
            with_usage=answer.usage is not None,
            choices=len(answer.choices),
            framing=framing,
        )

    @property
    def said(self) -> Answer:
        """The answer the script stands for."""
        parts: list[Part] = [Thought(pieces=self.reasoning)] if self.reasoning else []
        parts += [] if self.content is None else [Text(pieces=self.pieces)]
        parts += [
            Call(name=call.name, pieces=split_text(call.arguments, 5), id=call.id)
            for call in self.calls
        ]
        choice = Choice(parts=tuple(parts), finish=Finish(self.finish_reason))
        answer = Answer(model=self.model, choices=(choice,) * self.choices)
        usage = usage_of(answer, prompt=self.prompt_tokens) if self.with_usage else None
        return replace(answer, usage=usage)

    @property
    def id(self) -> str:
        """The id of the answer and of each of its chunks."""
        return f"chatcmpl-{self.model}"

    @property
    def usage(self) -> JsonObject:
        """The usage object of the answer: one completion token for each delta."""
        return usage_object(usage_of(self.said, prompt=self.prompt_tokens))

    def answer(self) -> JsonObject:
        """Return the unary answer."""
        return OPENAI.whole(self.said)

    def chunks(self, *, include_usage: bool = True) -> tuple[JsonObject, ...]:
        """Return the chunks of the stream; choices are interleaved."""
        return OPENAI.asked_for_usage(include_usage).events(self.said)

    def unary_bytes(self) -> bytes:
        """Return the unary answer's body."""
        return OPENAI.unary(self.said)

    def stream_bytes(self, *, include_usage: bool = True) -> bytes:
        """Return the stream's body."""
        return OPENAI.asked_for_usage(include_usage).stream(self.said, self.framing)
