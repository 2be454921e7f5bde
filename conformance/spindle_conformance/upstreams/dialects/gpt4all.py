"""GPT4All's answers: OpenAI's form with a placeholder for an id, and never a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Answer, Capability, Finish, Usage
from spindle_conformance.upstreams.dialects.base import Dialect, words
from spindle_conformance.upstreams.dialects.openai import OpenAIDialect, reason_of
from spindle_conformance.upstreams.faults import Failure, Problem

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_WORDS = {
    Failure.OTHER: "",
    Failure.INVALID: "invalid request",
    Failure.CONTEXT_LENGTH: "",
    Failure.NO_ROUTE: "Invalid URL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GPT4AllDialect(OpenAIDialect):
    """GPT4All's answers."""

    name: str = "gpt4all"
    headers: tuple[tuple[str, str], ...] = ()
    capabilities: frozenset[Capability] = frozenset({Capability.CHOICES})
    finishes: frozenset[Finish] = frozenset({Finish.STOP, Finish.LENGTH})
    usage_details: bool = False

    def whole(self, answer: Answer) -> JsonObject:
        """Return the answer as one object."""
        body: JsonObject = {
            "id": "placeholder",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": answer.model,
        }
        body["choices"] = [
            {
                "index": index,
                "message": {"role": "assistant", "content": choice.text},
                "finish_reason": reason_of(choice.finish),
                "logprobs": None,
                "references": None,
            }
            for index, choice in enumerate(answer.choices)
        ]
        body["usage"] = self.usage(answer.usage or Usage(prompt=0, completion=0))
        return body

    def events(self, answer: Answer) -> tuple[JsonObject, ...]:
        """Refuse: there are no streams.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"GPT4All does not stream {answer.model!r}.")

    def told(self, problem: Problem) -> Json:
        """Return OpenAI's error object, or nothing at all where the server failed."""
        if self.status_of(problem) >= 500:
            return ""

        error = {"code": None, "message": words(problem, _WORDS), "param": None}
        return {"error": {**error, "type": "invalid_request_error"}}

    def in_manner(self, manner: str) -> Dialect:
        """Return itself: the manners are those of streams."""
        del manner
        return self

    def status_of(self, problem: Problem) -> int:
        """Return the status of a refusal: a context that is too long is a failure here."""
        if problem.failure is Failure.CONTEXT_LENGTH:
            return 500

        return OpenAIDialect.status_of(self, problem)


GPT4ALL = GPT4AllDialect()
