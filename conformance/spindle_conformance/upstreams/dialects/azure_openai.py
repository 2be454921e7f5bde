"""Azure OpenAI's form: OpenAI's with what its content filters found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Answer, Capability
from spindle_conformance.upstreams.dialects.base import words
from spindle_conformance.upstreams.dialects.openai import OPENAI_CAPABILITIES, OpenAIDialect
from spindle_conformance.upstreams.faults import Failure, Problem
from spindle_conformance.upstreams.requests import objects

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_WORDS = {
    Failure.OTHER: "The server had an error while processing your request.",
    Failure.INVALID: "Invalid request.",
    Failure.CONTEXT_LENGTH: "This model's maximum context length is 8192 tokens. However, your "
    "messages resulted in 9001 tokens. Please reduce the length of the messages.",
    Failure.UNAUTHORIZED: "Access denied due to invalid subscription key or wrong API endpoint: "
    "{key}.",
    Failure.QUOTA: "You exceeded your current quota, please check your plan and billing details.",
    Failure.NO_MODEL: "The API deployment for this resource does not exist.",
    Failure.NO_ROUTE: "Resource not found",
    Failure.RATE_LIMIT: "Requests to the ChatCompletions_Create Operation have exceeded call rate "
    "limit of your current pricing tier. Please retry after 2 seconds.",
    Failure.OVERLOADED: "The service is temporarily unable to process your request.",
    Failure.FILTERED: "The response was filtered due to the prompt triggering Azure OpenAI's "
    "content management policy.",
}
_CODES = {
    Failure.CONTEXT_LENGTH: "context_length_exceeded",
    Failure.UNAUTHORIZED: "401",
    Failure.QUOTA: "insufficient_quota",
    Failure.NO_MODEL: "DeploymentNotFound",
    Failure.NO_ROUTE: "404",
    Failure.RATE_LIMIT: "429",
    Failure.FILTERED: "content_filter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureOpenAIDialect(OpenAIDialect):
    """Azure OpenAI's form."""

    name: str = "azure_openai"
    headers: tuple[tuple[str, str], ...] = (("apim-request-id", "req-upstream"),)
    capabilities: frozenset[Capability] = OPENAI_CAPABILITIES - {Capability.REASONING}
    opening: int = 2

    def whole(self, answer: Answer) -> JsonObject:
        """Return the answer as one object."""
        return {**_filtered(OpenAIDialect.whole(self, answer)), **_prompt_filter()}

    def events(self, answer: Answer) -> tuple[JsonObject, ...]:
        """Return the chunks of the stream; the first has no choices, and is no part of any."""
        first: JsonObject = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
        chunks = OpenAIDialect.events(self, answer)
        return ({**first, **_prompt_filter()}, *(_filtered(chunk) for chunk in chunks))

    def told(self, problem: Problem) -> Json:
        """Return an error object."""
        error: JsonObject = {
            "code": _CODES.get(problem.failure),
            "message": words(problem, _WORDS),
        }

        if problem.failure in (Failure.UNAUTHORIZED, Failure.NO_MODEL, Failure.NO_ROUTE):
            return {"error": error}

        is_own = problem.failure in (Failure.OTHER, Failure.OVERLOADED)
        error.update(type="server_error" if is_own else "invalid_request_error", param=None)

        if problem.failure is Failure.FILTERED:
            found: JsonObject = {"hate": {"filtered": True, "severity": "high"}}
            error["innererror"] = {
                "code": "ResponsibleAIPolicyViolation",
                "content_filter_result": found,
            }

        return {"error": error}


AZURE_OPENAI = AzureOpenAIDialect()


def _prompt_filter() -> JsonObject:
    found: JsonObject = {"hate": {"filtered": False, "severity": "safe"}}
    results: list[Json] = [{"prompt_index": 0, "content_filter_results": found}]
    return {"prompt_filter_results": results}


def _filtered(body: JsonObject) -> JsonObject:
    for choice in objects(body["choices"]):
        choice["content_filter_results"] = {}

    return body
