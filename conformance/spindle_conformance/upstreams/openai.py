"""An upstream that speaks OpenAI's dialect; the model's name in the request says what it does.

`python -m spindle_conformance.upstreams.openai --port 0 --chunk 7` prints where it listens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.dialects.openai import CREATED, OPENAI
from spindle_conformance.upstreams.faults import Failure
from spindle_conformance.upstreams.process import run
from spindle_conformance.upstreams.requests import Request, asked_in_openai, string
from spindle_conformance.upstreams.simulator import Routes, Simulator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_conformance.upstreams.server import Play, Seen
    from spindle_spi.types import Json, JsonObject


@dataclass(slots=True, kw_only=True)
class OpenAISimulator(Simulator):
    """OpenAI, and what serves its form in its own way."""

    dialect: Dialect = OPENAI

    def routes(self) -> Routes:
        """Return what is served; the prefix `/v1` may be missing."""
        return {
            (method, prefix + path): route
            for prefix in ("/v1", "")
            for (method, path), route in self.openai_routes().items()
        }

    def openai_routes(self) -> Routes:
        """Return the routes below the prefix."""
        return {
            ("GET", "/models"): self.models,
            ("GET", "/models/*"): self.model,
            ("POST", "/chat/completions"): self.chat,
            ("POST", "/embeddings"): self.embeddings,
        }

    def chat(self, request: Request) -> Play:
        """Answer a chat."""
        body = request.body

        if (fault := self.fault_in(request)) is not None:
            return self.refuse(Failure.INVALID, fault)

        return self.played(asked_in_openai(body, request.key))

    def fault_in(self, request: Request) -> str | None:
        """Return what is wrong with a chat, in the vendor's words."""
        if not request.is_object:
            return "We could not parse the JSON body of your request."

        for name, kind in (("model", str), ("messages", list)):
            if not isinstance(request.body.get(name), kind):
                return f"Missing required parameter: '{name}'."

        return None

    def embeddings(self, request: Request) -> Play:
        """Answer an embedding request."""
        return self.embedded(request)

    def models(self, request: Request) -> Play:
        """List the models."""
        del request
        data: list[Json] = [self.entry(name) for name in self.all_names()]
        return self.listed({"object": "list", "data": data})

    def model(self, request: Request) -> Play:
        """Answer with one model."""
        name = request.path.partition("/models/")[2]

        if name not in self.all_names():
            return self.refuse(Failure.NO_MODEL, model=name)

        return self.told(self.entry(name))

    def entry(self, name: str) -> JsonObject:
        """Return a model as it is listed."""
        return {"id": string(name), "object": "model", "created": CREATED, "owned_by": "simulator"}


def answer(seen: Seen) -> Play:
    """Return what happens to one request to an OpenAI that asks for no credential."""
    return OpenAISimulator().answer(seen)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the upstream until the process is ended."""
    run({"openai": OpenAISimulator}, arguments, dialect="openai")


if __name__ == "__main__":
    main()
