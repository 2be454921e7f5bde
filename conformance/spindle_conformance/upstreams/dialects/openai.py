"""OpenAI's chat form, and the ways in which servers that claim to speak it differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Answer, Capability, Finish, Text
from spindle_conformance.upstreams.dialects import sloppiness
from spindle_conformance.upstreams.dialects.base import Dialect, words
from spindle_conformance.upstreams.dialects.openai_parts import (
    Delta,
    Form,
    deltas_of,
    logprobs_of,
    message_of,
)
from spindle_conformance.upstreams.faults import Failure, Problem
from spindle_conformance.upstreams.framing import frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_conformance.upstreams.answers import Choice, Usage
    from spindle_conformance.upstreams.framing import Framing
    from spindle_spi.types import Json, JsonObject

CREATED = 1_700_000_000
"""The `created` of every scripted answer, so that two runs give the same bytes."""


class UsagePlace(StrEnum):
    """Where a stream tells its usage."""

    ALONE = "alone"
    """In a chunk of its own after the last, which has no choices."""
    FILLED = "filled"
    """In the last chunk that has choices."""
    EVERY = "every"
    """In every chunk, counting up."""
    NEVER = "never"


class Sloppiness(StrEnum):
    """What a stream does that it must not."""

    NONE = "none"
    ROLES = "roles"
    """Every delta repeats the role, and every chunk has an id and a time of its own."""
    TOOLS = "tools"
    """Calls are counted from one, and every delta repeats their id and name."""


OPENAI_CAPABILITIES = frozenset(Capability) - {
    Capability.SIGNATURES,
    Capability.REDACTED,
    Capability.CITATIONS,
    Capability.ORDER,
}
HEADERS = (
    ("x-request-id", "req-upstream"),
    ("openai-processing-ms", "12"),
    ("openai-version", "2020-10-01"),
    *(
        (f"x-ratelimit-{figure}-{what}", value)
        for what in ("requests", "tokens")
        for figure, value in (("limit", "10000"), ("remaining", "9999"), ("reset", "6m0s"))
    ),
)
"""Of every answer of OpenAI itself."""
LOCAL_CAPABILITIES = frozenset(
    {
        Capability.STREAM,
        Capability.REASONING,
        Capability.CALLS,
        Capability.CALL_IDS,
        Capability.BROKEN_ARGUMENTS,
        Capability.NO_USAGE,
    }
)
"""What servers of local models say in OpenAI's form."""
LOCAL_FINISHES = frozenset({Finish.STOP, Finish.LENGTH, Finish.TOOL_CALLS, Finish.NONE})
OPENAI_FINISHES = frozenset(
    {Finish.STOP, Finish.LENGTH, Finish.TOOL_CALLS, Finish.CONTENT_FILTER, Finish.NONE}
)

_WORDS = {
    Failure.OTHER: "The server had an error while processing your request. Sorry about that!",
    Failure.INVALID: "Invalid request.",
    Failure.CONTEXT_LENGTH: "This model's maximum context length is 8192 tokens. However, your "
    "messages resulted in 9001 tokens. Please reduce the length of the messages.",
    Failure.UNAUTHORIZED: "Incorrect API key provided: {key}. You can find your API key at "
    "https://platform.openai.com/account/api-keys.",
    Failure.QUOTA: "You exceeded your current quota, please check your plan and billing details.",
    Failure.NO_MODEL: "The model {model} does not exist.",
    Failure.NO_ROUTE: "Unknown path",
    Failure.RATE_LIMIT: "Rate limit reached for requests. Please try again in 1.5s.",
    Failure.OVERLOADED: "The engine is currently overloaded, please try again later.",
    Failure.FILTERED: "Your request was rejected as a result of our safety system.",
}
_TYPES = {
    Failure.OTHER: ("server_error", "upstream_code"),
    Failure.INVALID: ("invalid_request_error", None),
    Failure.CONTEXT_LENGTH: ("invalid_request_error", "context_length_exceeded"),
    Failure.UNAUTHORIZED: ("invalid_request_error", "invalid_api_key"),
    Failure.QUOTA: ("insufficient_quota", "insufficient_quota"),
    Failure.NO_MODEL: ("invalid_request_error", "model_not_found"),
    Failure.NO_ROUTE: ("not_found", None),
    Failure.RATE_LIMIT: ("requests", "rate_limit_exceeded"),
    Failure.OVERLOADED: ("server_error", None),
    Failure.FILTERED: ("invalid_request_error", "content_policy_violation"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIDialect(Dialect):
    """OpenAI's chat form; its members are where servers differ."""

    name: str = "openai"
    capabilities: frozenset[Capability] = OPENAI_CAPABILITIES
    finishes: frozenset[Finish] = OPENAI_FINISHES
    headers: tuple[tuple[str, str], ...] = HEADERS
    opening: int = 1
    form: Form = Form()
    """How parts are written."""
    usage_place: UsagePlace = UsagePlace.ALONE
    finish_alone: bool = True
    """Whether the finish reason comes in a chunk of its own, with an empty delta."""
    usage_details: bool = True
    """Whether a usage has more than the three counts everybody gives."""
    fingerprint: str = ""
    sloppy: Sloppiness = Sloppiness.NONE

    def whole(self, answer: Answer) -> JsonObject:
        """Return the answer as one object."""
        body = self.head(answer, "chat.completion")
        body["choices"] = [
            {
                "index": index,
                "message": message_of(self.form, choice),
                "logprobs": _logprobs(choice) if answer.logprobs else None,
                "finish_reason": reason_of(choice.finish),
            }
            for index, choice in enumerate(answer.choices)
        ]

        if answer.usage is not None:
            body["usage"] = self.usage(answer.usage)

        return body

    def events(self, answer: Answer) -> tuple[JsonObject, ...]:
        """Return the chunks of the stream; choices are interleaved."""
        each = [
            [(index, delta) for delta in self._deltas(answer, index)]
            for index in range(len(answer.choices))
        ]
        chunks = [
            self.chunk(answer, index, delta)
            for row in zip_longest(*each)
            for index, delta in (entry for entry in row if entry is not None)
        ]
        self._tell_usage(answer, chunks)

        if self.sloppy is Sloppiness.ROLES:
            sloppiness.repeat_roles(chunks)
        elif self.sloppy is Sloppiness.TOOLS:
            sloppiness.miscount_calls(chunks, answer.choices[0].calls)

        return tuple(chunks)

    def framed(self, events: tuple[JsonObject, ...], framing: Framing) -> bytes:
        """Return chunks as server-sent events."""
        return frame(events, framing)

    def told(self, problem: Problem) -> Json:
        """Return OpenAI's error object."""
        kind, code = _TYPES[problem.failure]
        param = "messages" if problem.failure is Failure.CONTEXT_LENGTH else None
        message = words(problem, _WORDS)
        return {"error": {"message": message, "type": kind, "param": param, "code": code}}

    def in_manner(self, manner: str) -> Dialect:
        """Return the dialect as a less careful server speaks it."""
        return _MANNERS[manner](self) if manner in _MANNERS else self

    def asked_for_usage(self, asked: bool) -> Dialect:
        """Return the dialect for a caller who asked for usage in a stream, or did not."""
        return self if asked else replace(self, usage_place=UsagePlace.NEVER)

    def head(self, answer: Answer, kind: str) -> JsonObject:
        """Return what whole answers and chunks begin with."""
        head: JsonObject = {
            "id": f"chatcmpl-{answer.model}",
            "object": kind,
            "created": CREATED,
            "model": answer.model,
        }

        if self.fingerprint:
            head["system_fingerprint"] = self.fingerprint

        return head

    def usage(self, usage: Usage) -> JsonObject:
        """Return token counts."""
        counts = usage_object(usage)

        if self.usage_details:
            return counts

        return {name: count for name, count in counts.items() if isinstance(count, int)}

    def chunk(self, answer: Answer, index: int, delta: Delta) -> JsonObject:
        """Return one chunk of one choice."""
        chunk = self.head(answer, "chat.completion.chunk")
        choice: JsonObject = {
            "index": index,
            "delta": dict(delta.said),
            "logprobs": None,
            "finish_reason": delta.finish,
        }

        if answer.logprobs and delta.token is not None:
            choice["logprobs"] = logprobs_of((delta.token,), delta.position)

        chunk["choices"] = [choice]
        return chunk

    def _deltas(self, answer: Answer, index: int) -> list[Delta]:
        choice = answer.choices[index]
        deltas = deltas_of(self.form, choice)
        finish = reason_of(choice.finish)

        if finish is None:
            return deltas

        if self.finish_alone:
            return [*deltas, Delta(said={}, finish=finish)]

        return [*deltas[:-1], replace(deltas[-1], finish=finish)]

    def _tell_usage(self, answer: Answer, chunks: list[JsonObject]) -> None:
        usage, place = answer.usage, self.usage_place

        if usage is None or place is UsagePlace.NEVER:
            return

        if place is UsagePlace.EVERY:
            for number, chunk in enumerate(chunks):
                so_far = min(number, usage.completion)
                chunk["usage"] = self.usage(replace(usage, completion=so_far))

            chunks[-1]["usage"] = self.usage(usage)
            return

        for chunk in chunks:
            chunk["usage"] = None

        if place is UsagePlace.FILLED:
            chunks[-1]["usage"] = self.usage(usage)
        else:
            last = self.head(answer, "chat.completion.chunk")
            chunks.append({**last, "choices": [], "usage": self.usage(usage)})


_MANNERS: dict[str, Callable[[OpenAIDialect], OpenAIDialect]] = {
    "usage-filled": lambda own: replace(own, usage_place=UsagePlace.FILLED),
    "usage-every": lambda own: replace(own, usage_place=UsagePlace.EVERY),
    "no-index": lambda own: replace(own, form=replace(own.form, indexed=False)),
    "finish-with-last": lambda own: replace(own, finish_alone=False),
    "reasoning-plain": lambda own: _reasoning_in(own, "reasoning"),
    "reasoning-content": lambda own: _reasoning_in(own, "reasoning_content"),
    "reasoning-thinking": lambda own: _reasoning_in(own, "thinking"),
    "reasoning-details": lambda own: replace(
        own, form=replace(own.form, reasoning_field="", reasoning_details=True)
    ),
    "sloppy": lambda own: replace(own, sloppy=Sloppiness.ROLES, usage_place=UsagePlace.NEVER),
    "sloppy-tools": lambda own: replace(own, sloppy=Sloppiness.TOOLS, usage_place=UsagePlace.NEVER),
}

OPENAI = OpenAIDialect()


def usage_object(usage: Usage) -> JsonObject:
    """Return token counts in OpenAI's form."""
    details: JsonObject = {"cached_tokens": usage.cached}

    if usage.cache_write:
        details["cache_write_tokens"] = usage.cache_write

    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def reason_of(finish: Finish) -> str | None:
    """Return a finish reason in OpenAI's words."""
    return None if finish is Finish.NONE else finish.value


def _logprobs(choice: Choice) -> JsonObject:
    return logprobs_of([piece for part in choice.of(Text) for piece in part.pieces])


def _reasoning_in(own: OpenAIDialect, name: str) -> OpenAIDialect:
    return replace(own, form=replace(own.form, reasoning_field=name, reasoning_details=False))
