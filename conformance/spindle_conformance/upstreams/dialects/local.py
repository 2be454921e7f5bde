"""The answers of servers of local models in OpenAI's form: LM Studio, Jan, LocalAI, Cortex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Capability, Finish
from spindle_conformance.upstreams.dialects.base import Dialect, words
from spindle_conformance.upstreams.dialects.openai import (
    LOCAL_CAPABILITIES,
    LOCAL_FINISHES,
    OpenAIDialect,
)
from spindle_conformance.upstreams.dialects.openai_parts import Form
from spindle_conformance.upstreams.faults import USUAL_STATUS, Failure, Problem

if TYPE_CHECKING:
    from spindle_conformance.upstreams.answers import Answer
    from spindle_spi.types import Json, JsonObject

_LM_STUDIO_WORDS = {
    Failure.OTHER: "Internal server error",
    Failure.INVALID: "Invalid request",
    Failure.CONTEXT_LENGTH: "Trying to keep the first 9001 tokens when context the overflows. "
    "However, the model is loaded with context length of only 8192 tokens, which is not enough.",
    Failure.UNAUTHORIZED: "Malformed or unknown API token: {key}",
    Failure.NO_MODEL: 'Model "{model}" not found. Please check the model identifier.',
    Failure.NO_ROUTE: "Unexpected endpoint or method.",
    Failure.OVERLOADED: "The model is still loading",
}
_JAN_WORDS = {
    Failure.OTHER: "Internal server error",
    Failure.INVALID: "Invalid JSON body",
    Failure.CONTEXT_LENGTH: "the request exceeds the available context size, try increasing it",
    Failure.UNAUTHORIZED: "Invalid or missing authorization token",
    Failure.NO_MODEL: "No running session found for model '{model}'",
    Failure.NO_ROUTE: "Not Found",
    Failure.OVERLOADED: "No models are available",
}
_LOCALAI_WORDS = {
    Failure.OTHER: "rpc error: code = Unknown desc = unexpected error",
    Failure.INVALID: "Bad Request",
    Failure.CONTEXT_LENGTH: "rpc error: code = Internal desc = the request exceeds the available "
    "context size",
    Failure.UNAUTHORIZED: "Authentication failed: invalid API key {key}",
    Failure.NO_MODEL: 'model "{model}" not found',
    Failure.NO_ROUTE: "Resource not found",
    Failure.OVERLOADED: "model is cooling down after a failed load, try again later",
}
_CORTEX_WORDS = {
    Failure.OTHER: "Failed to get the response from the engine",
    Failure.INVALID: "Missing required field",
    Failure.CONTEXT_LENGTH: "Input exceeds the context length",
    Failure.UNAUTHORIZED: "Unauthorized {key}",
    Failure.NO_MODEL: "Model has not been loaded, please load model into cortex.llamacpp: {model}",
    Failure.NO_ROUTE: "Not Found",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDialect(OpenAIDialect):
    """OpenAI's form as servers of local models write it."""

    headers: tuple[tuple[str, str], ...] = ()
    capabilities: frozenset[Capability] = LOCAL_CAPABILITIES
    finishes: frozenset[Finish] = LOCAL_FINISHES
    usage_details: bool = False
    form: Form = Form(with_refusal=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LMStudioDialect(LocalDialect):
    """LM Studio's: some errors are objects, and some are texts."""

    name: str = "lm_studio"

    def told(self, problem: Problem) -> Json:
        """Return an error object."""
        message = words(problem, _LM_STUDIO_WORDS)

        if problem.failure in (Failure.CONTEXT_LENGTH, Failure.NO_ROUTE):
            return {"error": message}

        codes = {Failure.NO_MODEL: "model_not_found", Failure.UNAUTHORIZED: "invalid_api_key"}
        status = self.status_of(problem)
        kind = "internal_error" if status >= 500 else "invalid_request_error"
        param = "model" if problem.failure is Failure.NO_MODEL else None
        code = codes.get(problem.failure)
        return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True, slots=True, kw_only=True)
class JanDialect(LocalDialect):
    """Jan's: its own errors are plain texts, those of the engine below it are objects."""

    name: str = "jan"
    capabilities: frozenset[Capability] = LOCAL_CAPABILITIES | {Capability.LOGPROBS}

    def told(self, problem: Problem) -> Json:
        """Return a text, or the engine's error object."""
        message = words(problem, _JAN_WORDS)

        if problem.failure is Failure.CONTEXT_LENGTH:
            kind = "exceed_context_size_error"
            error: JsonObject = {"code": 400, "message": message, "type": kind}
            return {"error": {**error, "n_prompt_tokens": 9001, "n_ctx": 8192}}

        return message

    def told_in_stream(self, problem: Problem, answer: Answer) -> JsonObject:
        """Return the engine's error object."""
        del answer
        message = words(problem, _JAN_WORDS)
        return {"error": {"code": 500, "message": message, "type": "server_error"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAIDialect(LocalDialect):
    """LocalAI's: the code of an error is its status, as a number."""

    name: str = "localai"
    capabilities: frozenset[Capability] = LOCAL_CAPABILITIES | {Capability.LOGPROBS}
    form: Form = Form(reasoning_field="reasoning", with_refusal=False)

    def told(self, problem: Problem) -> Json:
        """Return an error object."""
        message = words(problem, _LOCALAI_WORDS)
        code = self.status_of(problem)
        return {"error": {"code": code, "message": message, "type": "", "param": None}}

    def status_of(self, problem: Problem) -> int:
        """Return the status of a refusal: what the engine says is a failure of the server."""
        own = {Failure.CONTEXT_LENGTH: 500}
        return problem.status or own.get(problem.failure, USUAL_STATUS[problem.failure])


@dataclass(frozen=True, slots=True, kw_only=True)
class CortexDialect(LocalDialect):
    """Cortex's: nearly everything is a bad request, and an error is a message."""

    name: str = "cortexso"
    capabilities: frozenset[Capability] = LOCAL_CAPABILITIES - {Capability.REASONING}

    def told(self, problem: Problem) -> Json:
        """Return a message."""
        return {"message": words(problem, _CORTEX_WORDS)}

    def told_in_stream(self, problem: Problem, answer: Answer) -> JsonObject:
        """Return the engine's error object."""
        del answer
        return {"error": {"message": words(problem, _CORTEX_WORDS)}}

    def status_of(self, problem: Problem) -> int:
        """Return the status of a refusal."""
        kept = (Failure.UNAUTHORIZED, Failure.NO_ROUTE)
        usual = USUAL_STATUS[problem.failure] if problem.failure in kept else 400
        return problem.status or usual

    def in_manner(self, manner: str) -> Dialect:
        """Return the dialect as a less careful server speaks it; it knows no reasoning."""
        return self if manner.startswith("reasoning") else LocalDialect.in_manner(self, manner)


LM_STUDIO = LMStudioDialect()
JAN = JanDialect()
LOCALAI = LocalAIDialect()
CORTEXSO = CortexDialect()
