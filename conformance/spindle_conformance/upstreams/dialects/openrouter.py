"""OpenRouter's form: OpenAI's with reasoning details, comments, and errors among the chunks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Answer, Capability, Finish
from spindle_conformance.upstreams.dialects.base import Dialect, words
from spindle_conformance.upstreams.dialects.openai import (
    OPENAI_CAPABILITIES,
    OPENAI_FINISHES,
    OpenAIDialect,
)
from spindle_conformance.upstreams.dialects.openai_parts import Form
from spindle_conformance.upstreams.faults import USUAL_STATUS, Failure, Problem
from spindle_conformance.upstreams.framing import frame

if TYPE_CHECKING:
    from spindle_conformance.upstreams.framing import Framing
    from spindle_spi.types import Json, JsonObject

_WORDS = {
    Failure.OTHER: "Provider returned error",
    Failure.INVALID: 'Input required: specify "prompt" or "messages"',
    Failure.CONTEXT_LENGTH: "This endpoint's maximum context length is 8192 tokens. However, you "
    "requested about 9001 tokens of text input. Please reduce the length of either one.",
    Failure.UNAUTHORIZED: "User not found: {key}",
    Failure.QUOTA: "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
    Failure.NO_MODEL: "{model} is not a valid model ID",
    Failure.NO_ROUTE: "Not Found",
    Failure.RATE_LIMIT: "Rate limit exceeded: free-models-per-min.",
    Failure.OVERLOADED: "No instances available",
    Failure.FILTERED: "The input was flagged by moderation.",
}
_STATUS = {Failure.QUOTA: 402, Failure.NO_MODEL: 400, Failure.FILTERED: 403}
_PROVIDER = "Simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRouterDialect(OpenAIDialect):
    """OpenRouter's form."""

    name: str = "openrouter"
    headers: tuple[tuple[str, str], ...] = ()
    capabilities: frozenset[Capability] = OPENAI_CAPABILITIES | {
        Capability.SIGNATURES,
        Capability.REDACTED,
    }
    finishes: frozenset[Finish] = OPENAI_FINISHES
    form: Form = Form(reasoning_field="reasoning", reasoning_details=True)

    def framed(self, events: tuple[JsonObject, ...], framing: Framing) -> bytes:
        """Return chunks as server-sent events, after a comment that keeps the line open."""
        waiting = f": OPENROUTER PROCESSING{framing.newline * 2}"
        return frame(events, replace(framing, preamble=framing.preamble + waiting))

    def told(self, problem: Problem) -> Json:
        """Return an error object; its code is the status, as a number."""
        error: JsonObject = {
            "code": self.status_of(problem),
            "message": words(problem, _WORDS),
        }

        if problem.failure in (Failure.OTHER, Failure.RATE_LIMIT):
            error["metadata"] = {"provider_name": _PROVIDER, "raw": words(problem, _WORDS)}

        return {"error": error, "user_id": "user_upstream"}

    def told_in_stream(self, problem: Problem, answer: Answer) -> JsonObject:
        """Return a chunk that has an error beside a choice which says so too."""
        chunk = self.head(answer, "chat.completion.chunk")
        chunk["error"] = {"code": "server_error", "message": words(problem, _WORDS)}
        chunk["choices"] = [
            {
                "index": 0,
                "delta": {"content": ""},
                "finish_reason": "error",
                "native_finish_reason": "error",
            }
        ]
        return chunk

    def status_of(self, problem: Problem) -> int:
        """Return the status of a refusal."""
        return problem.status or _STATUS.get(problem.failure, USUAL_STATUS[problem.failure])

    def asked_for_usage(self, asked: bool) -> Dialect:
        """Return itself: usage is told whether it was asked for or not."""
        del asked
        return self

    def head(self, answer: Answer, kind: str) -> JsonObject:
        """Return what whole answers and chunks begin with."""
        head = OpenAIDialect.head(self, answer, kind)
        return {**head, "id": f"gen-{answer.model}", "provider": _PROVIDER}


OPENROUTER = OpenRouterDialect()
