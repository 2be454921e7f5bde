"""Anthropic's messages: blocks in order, events that are named, and a stop reason at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import (
    Answer,
    Call,
    Capability,
    Finish,
    Redacted,
    Text,
    Thought,
    Usage,
)
from spindle_conformance.upstreams.dialects.base import Dialect, words
from spindle_conformance.upstreams.faults import USUAL_STATUS, Failure, Problem
from spindle_conformance.upstreams.framing import frame_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_conformance.upstreams.answers import Part
    from spindle_conformance.upstreams.framing import Framing
    from spindle_spi.types import Json, JsonObject

REQUEST_ID = "req_upstream"
LIMITS = tuple(
    (f"anthropic-ratelimit-{what}-{figure}", value)
    for what in ("requests", "tokens", "input-tokens", "output-tokens")
    for figure, value in (
        ("limit", "1000"),
        ("remaining", "999"),
        ("reset", "2026-01-01T00:00:00Z"),
    )
)
CAPABILITIES = frozenset(Capability) - {
    Capability.CHOICES,
    Capability.REFUSAL,
    Capability.LOGPROBS,
    Capability.BROKEN_ARGUMENTS,
}

_STOP_REASONS = {
    Finish.STOP: "end_turn",
    Finish.LENGTH: "max_tokens",
    Finish.TOOL_CALLS: "tool_use",
    Finish.CONTENT_FILTER: "refusal",
    Finish.STOP_SEQUENCE: "stop_sequence",
    Finish.PAUSE: "pause_turn",
    Finish.CONTEXT_WINDOW: "model_context_window_exceeded",
    Finish.NONE: None,
}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_WORDS = {
    Failure.OTHER: "Internal server error",
    Failure.INVALID: "Invalid request.",
    Failure.CONTEXT_LENGTH: "prompt is too long: 210000 tokens > 200000 maximum",
    Failure.UNAUTHORIZED: "invalid x-api-key: {key}",
    Failure.QUOTA: "You have reached your specified API usage limits. You will regain access on "
    "2026-02-01 at 00:00 UTC.",
    Failure.NO_MODEL: "model: {model}",
    Failure.NO_ROUTE: "Not found",
    Failure.RATE_LIMIT: "This request would exceed your organization's rate limit of 50 requests "
    "per minute.",
    Failure.OVERLOADED: "Overloaded",
    Failure.FILTERED: "Output blocked by content filtering policy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicDialect(Dialect):
    """Anthropic's messages."""

    name: str = "anthropic"
    capabilities: frozenset[Capability] = CAPABILITIES
    finishes: frozenset[Finish] = frozenset(Finish)
    headers: tuple[tuple[str, str], ...] = (("request-id", REQUEST_ID), *LIMITS)
    opening: int = 3

    def whole(self, answer: Answer) -> JsonObject:
        """Return the answer as a message."""
        (choice,) = answer.choices
        message = _message(answer)
        message["content"] = [_block(part) for part in choice.parts]
        message.update(_stop(answer))

        if answer.usage is not None:
            message["usage"] = usage_object(answer.usage)

        return message

    def events(self, answer: Answer) -> tuple[JsonObject, ...]:
        """Return the events of the stream."""
        (choice,) = answer.choices
        start = _message(answer)
        start.update(content=[], stop_reason=None, stop_sequence=None)
        end: JsonObject = {"type": "message_delta", "delta": _stop(answer)}

        if answer.usage is not None:
            start["usage"] = {**usage_object(answer.usage), "output_tokens": 1}
            end["usage"] = usage_object(answer.usage)

        events: list[JsonObject] = [{"type": "message_start", "message": start}]

        for index, part in enumerate(choice.parts):
            events += _block_events(index, part)

        return (*events, end, {"type": "message_stop"})

    def framed(self, events: tuple[JsonObject, ...], framing: Framing) -> bytes:
        """Return events as server-sent events that have names."""
        return frame_named(events, framing)

    def told(self, problem: Problem) -> Json:
        """Return Anthropic's error object."""
        kind = _TYPES.get(self.status_of(problem), "api_error")
        error: JsonObject = {"type": kind, "message": words(problem, _WORDS)}
        return {"type": "error", "error": error, "request_id": REQUEST_ID}

    def status_of(self, problem: Problem) -> int:
        """Return the status of a refusal; a spent quota is a bad request here."""
        own = {Failure.QUOTA: 400, Failure.OVERLOADED: 529}
        return problem.status or own.get(problem.failure, USUAL_STATUS[problem.failure])


ANTHROPIC = AnthropicDialect()


def usage_object(usage: Usage) -> JsonObject:
    """Return token counts as Anthropic counts them: what was cached is not among the input."""
    counts: JsonObject = {
        "input_tokens": usage.prompt - usage.cached - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }

    if usage.reasoning:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}

    return counts


def _message(answer: Answer) -> JsonObject:
    return {
        "id": f"msg_{answer.model}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
    }


def _stop(answer: Answer) -> JsonObject:
    finish = answer.choices[0].finish
    sequence = answer.stop_sequence if finish is Finish.STOP_SEQUENCE else None
    return {"stop_reason": _STOP_REASONS[finish], "stop_sequence": sequence}


def _block(part: Part) -> JsonObject:
    match part:
        case Text():
            block: JsonObject = {"type": "text", "text": "".join(part.pieces)}
            return {**block, "citations": list(part.citations)} if part.citations else block
        case Thought():
            text = "".join(part.pieces)
            return {"type": "thinking", "thinking": text, "signature": part.signature}
        case Redacted():
            return {"type": "redacted_thinking", "data": part.data}
        case Call():
            arguments = part.parsed() or {}
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}
        case _:
            raise ValueError(f"Anthropic has no block for {part!r}.")


def _block_events(index: int, part: Part) -> Iterator[JsonObject]:
    yield {"type": "content_block_start", "index": index, "content_block": _empty_block(part)}

    if index == 0:
        yield {"type": "ping"}

    for delta in _deltas(part):
        yield {"type": "content_block_delta", "index": index, "delta": delta}

    yield {"type": "content_block_stop", "index": index}


def _empty_block(part: Part) -> JsonObject:
    block = _block(part)
    empty: JsonObject = {"text": "", "thinking": "", "signature": "", "input": {}, "citations": []}
    return {name: empty.get(name, value) for name, value in block.items()}


def _deltas(part: Part) -> Iterator[JsonObject]:
    match part:
        case Text():
            for piece in part.pieces:
                yield {"type": "text_delta", "text": piece}

            for citation in part.citations:
                yield {"type": "citations_delta", "citation": citation}
        case Thought():
            for piece in part.pieces:
                yield {"type": "thinking_delta", "thinking": piece}

            if part.signature:
                yield {"type": "signature_delta", "signature": part.signature}
        case Call():
            # The first piece of a real stream is empty.
            for piece in ("", *part.pieces):
                yield {"type": "input_json_delta", "partial_json": piece}
        case _:
            return
