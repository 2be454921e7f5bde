"""An upstream that answers as Cortex does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.dialects.local import CORTEXSO
from spindle_conformance.upstreams.faults import Failure
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_conformance.upstreams.requests import Request, string
from spindle_conformance.upstreams.server import Play
from spindle_conformance.upstreams.simulator import Quirk, Routes

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

CATALOGUE = ("cortexso/not-here:1b",)
"""What is listed and could be downloaded."""
_LOADED = ("plain", "echo")


@dataclass(slots=True, kw_only=True)
class CortexSimulator(OpenAISimulator):
    """Cortex."""

    dialect: Dialect = CORTEXSO

    def routes(self) -> Routes:
        """Return what is served."""
        own: Routes = {
            ("GET", "/healthz"): lambda _: Play(
                body=b"cortex-cpp is alive!!!", content_type="text/html; charset=utf-8"
            ),
            ("GET", "/v1/models/status/*"): self.status,
            ("POST", "/v1/models/start"): self.start,
            ("POST", "/v1/models/stop"): lambda _: self.told({"message": "Stopped successfully!"}),
        }
        routes = self.openai_routes()
        below = {(method, "/v1" + path): route for (method, path), route in routes.items()}
        return {**own, **below}

    def models(self, request: Request) -> Play:
        """List the models, and those that could be downloaded."""
        del request
        here: list[Json] = [self.entry(name) for name in self.all_names()]
        there: list[Json] = [
            {
                "id": name,
                "model": name,
                "modelSource": name,
                "status": "downloadable",
                "engine": "llama-cpp",
                "metadata": {},
            }
            for name in CATALOGUE
        ]
        return self.listed({"object": "list", "data": [*there, *here], "result": "OK"})

    def status(self, request: Request) -> Play:
        """Tell whether a model runs."""
        name = request.path.removeprefix("/v1/models/status/")

        if name not in _LOADED or Quirk.NOTHING_RUNNING in self.quirks:
            return self.refuse(Failure.INVALID, "Model is not running")

        return self.told({"message": "Model is running"})

    def start(self, request: Request) -> Play:
        """Load a model."""
        name = string(request.body.get("model"))

        if name not in self.all_names():
            return self.refuse(Failure.INVALID, f"Cannot find model: {name}")

        return self.told({"message": "Started successfully!"})

    def entry(self, name: str) -> JsonObject:
        """Return a model as it is listed."""
        return {
            "id": name,
            "model": name,
            "status": "downloaded",
            "engine": "llama-cpp",
            "ctx_len": 8192,
            "ngl": 33,
            "stop": [],
            "temperature": 0.7,
            "top_p": 0.9,
            "max_tokens": 4096,
            "size": 4_000_000_000,
            "files": [],
        }
