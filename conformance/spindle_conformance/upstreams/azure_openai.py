"""An upstream that answers as Azure OpenAI does, by deployments and by its newer API v1."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from spindle_conformance.upstreams.dialects.azure_openai import AZURE_OPENAI
from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.faults import Failure
from spindle_conformance.upstreams.openai import OpenAISimulator

if TYPE_CHECKING:
    from spindle_conformance.upstreams.requests import Request
    from spindle_conformance.upstreams.server import Play
    from spindle_conformance.upstreams.simulator import Routes

_DEPLOYMENTS = "/openai/deployments/"


@dataclass(slots=True, kw_only=True)
class AzureOpenAISimulator(OpenAISimulator):
    """Azure OpenAI; a deployment has the name of what it plays."""

    dialect: Dialect = AZURE_OPENAI

    key_headers: ClassVar[tuple[str, ...]] = ("api-key", "authorization")

    def routes(self) -> Routes:
        """Return what is served."""
        routes = self.openai_routes()
        return {
            **{(method, "/openai/v1" + path): route for (method, path), route in routes.items()},
            ("GET", "/openai/models"): self.models,
            ("POST", _DEPLOYMENTS + "*"): self.deployed,
        }

    def deployed(self, request: Request) -> Play:
        """Answer by a deployment; the model in the body is not looked at."""
        name, _, operation = request.path.removeprefix(_DEPLOYMENTS).partition("/")
        route = {"chat/completions": self.chat, "embeddings": self.embeddings}.get(operation)

        if route is None or not request.query.get("api-version"):
            return self.refuse(Failure.NO_ROUTE)

        return route(replace(request, body={**request.body, "model": name}))
