"""An upstream that answers as Jan does: plain texts for errors, and only for hosts it trusts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from spindle_conformance.upstreams.anthropic import messages_routes
from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.dialects.local import JAN
from spindle_conformance.upstreams.faults import Failure
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_conformance.upstreams.simulator import Quirk, Routes

if TYPE_CHECKING:
    from spindle_conformance.upstreams.requests import Request
    from spindle_conformance.upstreams.server import Play, Seen
    from spindle_spi.types import JsonObject

_TRUSTED = ("localhost", "127.0.0.1")


@dataclass(slots=True, kw_only=True)
class JanSimulator(OpenAISimulator):
    """Jan; `Quirk.NOTHING_RUNNING` is one whose user has started no model."""

    dialect: Dialect = JAN

    key_headers: ClassVar[tuple[str, ...]] = ("authorization", "x-api-key")

    def answer(self, seen: Seen) -> Play:
        """Return what happens to one request, by its host first of all."""
        host = seen.headers.get("host", "")

        if not host:
            return self.refuse(Failure.INVALID, "Missing host header")

        if host.rpartition(":")[0] not in _TRUSTED and host not in _TRUSTED:
            return self.refuse(Failure.INVALID, "Invalid host header", status=403)

        return OpenAISimulator.answer(self, seen)

    def routes(self) -> Routes:
        """Return what is served, all of it below one prefix."""
        routes = self.openai_routes()
        return {
            **{(method, "/v1" + path): route for (method, path), route in routes.items()},
            **messages_routes(self),
        }

    def openai_routes(self) -> Routes:
        """Return the routes below the prefix."""
        return {
            ("GET", "/models"): self.models,
            ("POST", "/chat/completions"): self.chat,
            ("POST", "/embeddings"): self.embeddings,
        }

    def chat(self, request: Request) -> Play:
        """Answer a chat, where a model runs."""
        if Quirk.NOTHING_RUNNING in self.quirks:
            return self.refuse(Failure.OVERLOADED)

        return OpenAISimulator.chat(self, request)

    def fault_in(self, request: Request) -> str | None:
        """Return what is wrong with a chat, in the vendor's words."""
        if not request.is_object:
            return "Invalid JSON body"

        has_model = isinstance(request.body.get("model"), str)
        return None if has_model else "Request body must contain a 'model' field"

    def all_names(self) -> tuple[str, ...]:
        """Return the names of the models that run."""
        if Quirk.NOTHING_RUNNING in self.quirks:
            return ()

        return OpenAISimulator.all_names(self)

    def entry(self, name: str) -> JsonObject:
        """Return a model as it is listed."""
        return {"id": name, "object": "model", "created": 1, "owned_by": "llama.cpp"}
