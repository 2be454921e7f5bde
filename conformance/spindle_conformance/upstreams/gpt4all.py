"""An upstream that answers as GPT4All's local server does: strictly, and never in pieces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Answer, Finish, Text
from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.dialects.gpt4all import GPT4ALL
from spindle_conformance.upstreams.faults import Failure
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_conformance.upstreams.requests import Request, asked_in_openai
from spindle_conformance.upstreams.rules.gpt4all import fault_in

if TYPE_CHECKING:
    from spindle_conformance.upstreams.server import Play
    from spindle_conformance.upstreams.simulator import Routes
    from spindle_spi.types import JsonObject

_DEFAULT_MODEL = "plain"
_DEFAULT_TOKENS = 16


@dataclass(slots=True, kw_only=True)
class GPT4AllSimulator(OpenAISimulator):
    """GPT4All; `Quirk.DISABLED` is its server when it is switched off in the settings."""

    dialect: Dialect = GPT4ALL

    def openai_routes(self) -> Routes:
        """Return the routes below the prefix."""
        return {
            ("GET", "/models"): self.models,
            ("GET", "/models/*"): self.model,
            ("POST", "/chat/completions"): self.chat,
        }

    def wrong_method(self, request: Request) -> Play:
        """Return 405 with an error object."""
        method, path = request.seen.method, request.path
        message = f"Not allowed to {method} on {path}. (HINT: Perhaps you meant another method?)"
        return self.refuse(Failure.INVALID, message, status=405)

    def all_names(self) -> tuple[str, ...]:
        """Return the names of the models there are, none of which is for embeddings."""
        return self.names()

    def chat(self, request: Request) -> Play:
        """Answer a chat; what it does not know is refused, but an unknown model is not."""
        body = request.body

        if (fault := fault_in(body)) is not None:
            return self.refuse(Failure.INVALID, fault)

        asked = asked_in_openai(body)
        most = body.get("max_tokens")

        if not self.plays(asked.model):
            asked = replace(asked, model=_DEFAULT_MODEL)

        limit = most if isinstance(most, int) else _DEFAULT_TOKENS
        return self.played(asked, lambda answer: limited(answer, limit))

    def model(self, request: Request) -> Play:
        """Answer with one model; with an empty object where there is none."""
        name = request.path.partition("/models/")[2]
        return self.told(self.entry(name) if name in self.names() else {})

    def entry(self, name: str) -> JsonObject:
        """Return a model as it is listed."""
        permission: JsonObject = {"id": "placeholder", "object": "model_permission"}
        return {
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": "humanity",
            "root": name,
            "parent": None,
            "permissions": [permission],
        }


def limited(answer: Answer, most: int) -> Answer:
    """Return an answer that stops after so many tokens."""
    usage = answer.usage

    if usage is None or usage.completion < most:
        return answer

    choices = tuple(
        replace(
            choice,
            parts=tuple(Text(pieces=part.pieces[:most]) for part in choice.of(Text)),
            finish=Finish.LENGTH,
        )
        for choice in answer.choices
    )
    return replace(answer, choices=choices, usage=replace(usage, completion=most))
