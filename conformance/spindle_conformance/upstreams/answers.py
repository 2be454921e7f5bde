"""Scripted answers in no vendor's form: what is said, from which each dialect writes its bytes.

Data only. `needs` tells what a dialect must be able to say for an answer; see `Dialect.expresses`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from spindle_conformance.upstreams.faults import Fault
from spindle_conformance.upstreams.framing import split_text
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterator


class Finish(StrEnum):
    """Why an answer ends."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    STOP_SEQUENCE = "stop_sequence"
    """One of the caller's own sequences; most dialects say `stop` for it."""
    PAUSE = "pause"
    """The upstream paused a long turn."""
    CONTEXT_WINDOW = "context_window"
    """The window of the model was full."""
    NONE = "none"
    """It does not say: the member is null, or absent."""


class Capability(StrEnum):
    """Something only some dialects can say."""

    STREAM = "stream"
    """An answer in pieces."""
    CHOICES = "choices"
    """More than one choice."""
    REASONING = "reasoning"
    SIGNATURES = "signatures"
    """Reasoning that is signed."""
    REDACTED = "redacted"
    """Reasoning that is sealed."""
    REFUSAL = "refusal"
    """A refusal that is told apart from content."""
    LOGPROBS = "logprobs"
    CITATIONS = "citations"
    CALLS = "calls"
    """Tool calls."""
    CALL_IDS = "call_ids"
    """Tool calls with ids; without it a reader has to make them up."""
    BROKEN_ARGUMENTS = "broken_arguments"
    """Arguments that are not the text of a JSON object."""
    ORDER = "order"
    """Parts in any order; without it only reasoning, content, calls, and one of each but calls."""
    CACHED_TOKENS = "cached_tokens"
    CACHE_WRITE_TOKENS = "cache_write_tokens"
    REASONING_TOKENS = "reasoning_tokens"
    NO_USAGE = "no_usage"
    """Saying nothing of usage, which is not saying zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Content; joined, the pieces are what a whole answer says."""

    pieces: tuple[str, ...] = ()
    citations: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """Reasoning that can be read; with no pieces it is its signature alone."""

    pieces: tuple[str, ...] = ()
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """Reasoning nobody may read, handed on as it is."""

    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The model's own refusal."""

    pieces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call; joined, the pieces are its arguments, which may be no JSON at all."""

    name: str
    pieces: tuple[str, ...] = ()
    id: str = "call_1"

    @property
    def arguments(self) -> str:
        """The arguments as text."""
        return "".join(self.pieces)

    def parsed(self) -> JsonObject | None:
        """Return the arguments as an object, none at all as an empty one; None if they are none."""
        try:
            value: Json = json.loads(self.arguments or "{}")
        except ValueError:
            return None

        return value if isinstance(value, dict) else None


Part: TypeAlias = Text | Thought | Redacted | Refusal | Call
_P = TypeVar("_P", Text, Thought, Redacted, Refusal, Call)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of the answers to choose from: its parts in the order they are said."""

    parts: tuple[Part, ...] = ()
    finish: Finish = Finish.STOP

    @property
    def text(self) -> str:
        """The content."""
        return "".join(piece for part in self.of(Text) for piece in part.pieces)

    @property
    def reasoning(self) -> str:
        """The reasoning that can be read."""
        return "".join(piece for part in self.of(Thought) for piece in part.pieces)

    @property
    def refusal(self) -> str:
        """The refusal."""
        return "".join(piece for part in self.of(Refusal) for piece in part.pieces)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The tool calls."""
        return self.of(Call)

    def of(self, kind: type[_P]) -> tuple[_P, ...]:
        """Return the parts of one kind."""
        return tuple(part for part in self.parts if isinstance(part, kind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts as OpenAI counts them: what was cached is part of the prompt."""

    prompt: int = 11
    completion: int = 1
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One scripted answer, to be written by any dialect that expresses it.

    A dialect writes the whole answer and the stream from the same parts, so a reader that puts
    the stream together has to come to the whole answer. What every dialect can say is one text in
    pieces, a finish of `STOP` or `LENGTH`, and the two token counts; everything else is a
    `Capability` or a `Finish` of the dialect. A tool call's arguments are text here: a dialect
    whose whole answer holds them as an object keeps their value and not their spelling, so
    compare them parsed.

    `fault` is played by `Dialect.play`, and shortens what `unary` and `stream` return.
    """

    model: str
    choices: tuple[Choice, ...] = (Choice(),)
    usage: Usage | None = None
    """None: the upstream does not say."""
    logprobs: bool = False
    """Each piece of a text comes with a log probability that follows from its position."""
    stop_sequence: str = ""
    """The sequence that ended it, where `finish` is `STOP_SEQUENCE`."""
    fault: Fault | None = None


def answer_of(
    model: str,
    *parts: Part,
    finish: Finish = Finish.STOP,
    choices: int = 1,
    with_usage: bool = True,
) -> Answer:
    """Return an answer of these parts, and the usage that follows from them."""
    choice = Choice(parts=parts, finish=finish)
    answer = Answer(model=model, choices=(choice,) * choices)
    usage = usage_of(answer) if with_usage else None
    return Answer(model=model, choices=answer.choices, usage=usage)


def usage_of(answer: Answer, *, prompt: int = 11) -> Usage:
    """Return the usage of an answer: a token for each piece and each call, three of them cached."""
    thought = [part for choice in answer.choices for part in choice.of(Thought)]
    reasoning = sum(len(part.pieces) for part in thought)
    written = sum(_tokens(choice) for choice in answer.choices)
    return Usage(prompt=prompt, completion=written, cached=3, reasoning=reasoning)


def text_of(text: str, size: int = 4) -> Text:
    """Return a text in pieces of `size` characters."""
    return Text(pieces=split_text(text, size))


def needs(answer: Answer) -> frozenset[Capability]:
    """Return what a dialect must be able to say for this answer, its finishes aside."""
    found = set[Capability]()

    if len(answer.choices) > 1:
        found.add(Capability.CHOICES)

    if answer.logprobs:
        found.add(Capability.LOGPROBS)

    for choice in answer.choices:
        found.update(_of_choice(choice))

    found.update(_of_usage(answer.usage))
    return frozenset(found)


def _of_choice(choice: Choice) -> Iterator[Capability]:
    ranks = [_RANKS[type(part)] for part in choice.parts]
    single = [rank for rank in ranks if rank != _RANKS[Call]]

    if ranks != sorted(ranks) or len(set(single)) != len(single):
        yield Capability.ORDER

    for part in choice.parts:
        match part:
            case Text(citations=citations) if citations:
                yield Capability.CITATIONS
            case Thought():
                yield Capability.REASONING

                if part.signature:
                    yield Capability.SIGNATURES
            case Redacted():
                yield Capability.REDACTED
            case Refusal():
                yield Capability.REFUSAL
            case Call():
                yield Capability.CALLS

                if part.parsed() is None:
                    yield Capability.BROKEN_ARGUMENTS
            case _:
                pass


def _of_usage(usage: Usage | None) -> Iterator[Capability]:
    if usage is None:
        yield Capability.NO_USAGE
        return

    if usage.cached:
        yield Capability.CACHED_TOKENS

    if usage.cache_write:
        yield Capability.CACHE_WRITE_TOKENS

    if usage.reasoning:
        yield Capability.REASONING_TOKENS


def _tokens(choice: Choice) -> int:
    pieces = [1 if isinstance(part, Call | Redacted) else len(part.pieces) for part in choice.parts]
    return max(1, sum(pieces))


_RANKS = {Thought: 0, Redacted: 1, Text: 2, Refusal: 3, Call: 4}
