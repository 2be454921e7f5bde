"""Ollama's own chat: lines of JSON, whole tool calls, metrics of which the zeros are missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Answer, Call, Capability, Finish, Text, Thought
from spindle_conformance.upstreams.dialects.base import Dialect, words
from spindle_conformance.upstreams.dialects.openai import LOCAL_FINISHES, OpenAIDialect
from spindle_conformance.upstreams.dialects.openai_parts import Form, token_logprob
from spindle_conformance.upstreams.faults import Failure, Problem
from spindle_conformance.upstreams.framing import frame_lines
from spindle_spi.types import Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_conformance.upstreams.answers import Choice, Part, Usage
    from spindle_conformance.upstreams.framing import Framing
    from spindle_spi.types import JsonObject

CREATED_AT = "2026-01-01T00:00:00.000000000Z"
CAPABILITIES = frozenset(
    {
        Capability.STREAM,
        Capability.REASONING,
        Capability.LOGPROBS,
        Capability.CALLS,
        Capability.CALL_IDS,
        Capability.NO_USAGE,
    }
)

_WORDS = {
    Failure.OTHER: "an error was encountered while running the model",
    Failure.INVALID: "invalid request",
    Failure.CONTEXT_LENGTH: "the input length exceeds the context length",
    Failure.UNAUTHORIZED: "unauthorized: {key}",
    Failure.QUOTA: "you have reached your weekly usage limit, please upgrade to continue",
    Failure.NO_MODEL: 'model "{model}" not found, try pulling it first',
    Failure.NO_ROUTE: "404 page not found",
    Failure.RATE_LIMIT: "too many concurrent requests",
    Failure.OVERLOADED: "server busy, please try again.  maximum pending requests exceeded",
    Failure.FILTERED: "invalid request",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaDialect(Dialect):
    """Ollama's own chat."""

    name: str = "ollama"
    capabilities: frozenset[Capability] = CAPABILITIES
    finishes: frozenset[Finish] = frozenset(
        {Finish.STOP, Finish.LENGTH, Finish.TOOL_CALLS, Finish.NONE}
    )
    """Of `TOOL_CALLS` a reader learns by the calls: the reason says `stop`."""
    content_type: str = "application/x-ndjson"
    numbered: bool = True
    """Whether tool calls have ids and numbers of their own; all are number 0 otherwise."""

    def expresses(self, answer: Answer) -> bool:
        """Tell whether the answer can be said without loss: calls alone say `TOOL_CALLS`."""
        called = [choice.finish is Finish.TOOL_CALLS for choice in answer.choices]
        calls = [bool(choice.calls) for choice in answer.choices]
        return Dialect.expresses(self, answer) and called == calls

    def whole(self, answer: Answer) -> JsonObject:
        """Return the answer as one object."""
        (choice,) = answer.choices
        message: JsonObject = {"role": "assistant", "content": choice.text}

        if choice.of(Thought):
            message["thinking"] = choice.reasoning

        if choice.calls:
            message["tool_calls"] = list[Json](self._calls(choice.calls))

        line = _line(answer, message)

        if answer.logprobs:
            tokens = [piece for part in choice.of(Text) for piece in part.pieces]
            line["logprobs"] = [
                token_logprob(token, position) for position, token in enumerate(tokens)
            ]

        return {**line, **_done(answer)}

    def events(self, answer: Answer) -> tuple[JsonObject, ...]:
        """Return the lines of the stream; the last one has the metrics."""
        (choice,) = answer.choices
        lines = [
            self._told(answer, message, token, position)
            for message, token, position in self._messages(choice)
        ]
        last = _line(answer, {"role": "assistant", "content": ""})
        return (*lines, {**last, **_done(answer)})

    def framed(self, events: tuple[JsonObject, ...], framing: Framing) -> bytes:
        """Return lines of JSON."""
        return frame_lines(events, framing)

    def told(self, problem: Problem) -> Json:
        """Return Ollama's error object."""
        if problem.failure is Failure.NO_ROUTE:
            return words(problem, _WORDS)

        return {"error": words(problem, _WORDS)}

    def in_manner(self, manner: str) -> Dialect:
        """Return the dialect as an older server speaks it."""
        return replace(self, numbered=False) if manner == "no-index" else self

    def _calls(self, calls: tuple[Call, ...], start: int = 0) -> Iterator[JsonObject]:
        for index, call in enumerate(calls, start):
            function: JsonObject = {"name": call.name, "arguments": call.parsed() or {}}

            if self.numbered:
                yield {"id": call.id, "function": {"index": index, **function}}
            else:
                yield {"function": {"index": 0, **function}}

    def _messages(self, choice: Choice) -> Iterator[tuple[JsonObject, str | None, int]]:
        position, calls = 0, 0

        for part in choice.parts:
            for said, token in self._said(part, calls):
                yield {"role": "assistant", "content": "", **said}, token, position
                position += token is not None

            calls += isinstance(part, Call)

    def _said(self, part: Part, calls: int) -> Iterator[tuple[JsonObject, str | None]]:
        match part:
            case Text():
                for piece in part.pieces:
                    yield {"content": piece}, piece
            case Thought():
                for piece in part.pieces:
                    yield {"thinking": piece}, None
            case Call():
                yield {"tool_calls": list[Json](self._calls((part,), calls))}, None
            case _:
                raise ValueError(f"Ollama has no message for {part!r}.")

    def _told(
        self, answer: Answer, message: JsonObject, token: str | None, position: int
    ) -> JsonObject:
        line: JsonObject = {**_line(answer, message), "done": False}

        if answer.logprobs and token is not None:
            line["logprobs"] = [token_logprob(token, position)]

        return line


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaCompatibleDialect(OpenAIDialect):
    """OpenAI's form as Ollama writes it: tool calls at once, and errors of three types."""

    name: str = "ollama-compatible"
    headers: tuple[tuple[str, str], ...] = ()
    capabilities: frozenset[Capability] = CAPABILITIES | {Capability.BROKEN_ARGUMENTS}
    finishes: frozenset[Finish] = LOCAL_FINISHES
    usage_details: bool = False
    fingerprint: str = "fp_ollama"
    form: Form = Form(reasoning_field="reasoning", with_refusal=False, calls_at_once=True)

    def told(self, problem: Problem) -> Json:
        """Return OpenAI's error object, in Ollama's words."""
        kinds = {400: "invalid_request_error", 404: "not_found_error"}
        kind = kinds.get(self.status_of(problem), "api_error")
        message = words(problem, _WORDS)
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}


OLLAMA = OllamaDialect()
OLLAMA_COMPATIBLE = OllamaCompatibleDialect()


def metrics(usage: Usage) -> JsonObject:
    """Return the metrics of a run; what is zero is left out."""
    counts = {
        "total_duration": 5_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": usage.prompt,
        "prompt_eval_duration": 2_000_000 if usage.prompt else 0,
        "eval_count": usage.completion,
        "eval_duration": 2_000_000 if usage.completion else 0,
    }
    return {name: count for name, count in counts.items() if count}


def _line(answer: Answer, message: JsonObject) -> JsonObject:
    return {"model": answer.model, "created_at": CREATED_AT, "message": message}


def _done(answer: Answer) -> JsonObject:
    finish = answer.choices[0].finish
    reason = "length" if finish is Finish.LENGTH else "stop"
    done: JsonObject = {"done": True}

    if finish is not Finish.NONE:
        done["done_reason"] = reason

    return {**done, **({} if answer.usage is None else metrics(answer.usage))}
