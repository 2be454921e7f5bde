"""An upstream that answers as LocalAI does; `Quirk.NOT_READY` is one that is still starting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from spindle_conformance.upstreams.anthropic import messages_routes
from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.dialects.local import LOCALAI
from spindle_conformance.upstreams.embeddings import MODELS as EMBEDDING_MODELS
from spindle_conformance.upstreams.framing import dump
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_conformance.upstreams.requests import Request, string
from spindle_conformance.upstreams.server import Play
from spindle_conformance.upstreams.simulator import Quirk, Routes

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_LOADED = ("plain", "echo")


@dataclass(slots=True, kw_only=True)
class LocalAISimulator(OpenAISimulator):
    """LocalAI."""

    dialect: Dialect = LOCALAI

    key_headers: ClassVar[tuple[str, ...]] = ("authorization", "x-api-key", "xi-api-key")
    open_paths: ClassVar[frozenset[str]] = frozenset({"/healthz", "/readyz"})

    def routes(self) -> Routes:
        """Return what is served."""
        own: Routes = {
            ("GET", "/healthz"): lambda _: Play(),
            ("GET", "/readyz"): self.ready,
            ("GET", "/version"): lambda _: self.told({"version": "v4.9.0"}),
            ("GET", "/.well-known/localai.json"): lambda _: self.told({"version": "v4.9.0"}),
            ("GET", "/system"): self.system,
            ("GET", "/v1/models/capabilities"): self.capabilities,
            ("POST", "/backend/load"): self.load,
            ("POST", "/backend/shutdown"): lambda _: self.told({"message": "backend shut down"}),
        }
        return {**own, **messages_routes(self), **OpenAISimulator.routes(self)}

    def entry(self, name: str) -> JsonObject:
        """Return a model as it is listed: without a time, and without an owner."""
        return {"id": name, "object": "model"}

    def ready(self, request: Request) -> Play:
        """Tell whether it is ready."""
        del request

        if Quirk.NOT_READY in self.quirks:
            body = dump({"status": "starting", "reason": "preloading models"})
            return Play(status=503, body=body)

        return Play()

    def system(self, request: Request) -> Play:
        """Tell which backends and models are loaded."""
        del request
        names = () if Quirk.NOTHING_RUNNING in self.quirks else _LOADED
        loaded: list[Json] = [{"id": name, "backend": "llama-cpp"} for name in names]
        return self.told({"backends": ["llama-cpp"], "loaded_models": loaded})

    def capabilities(self, request: Request) -> Play:
        """List the models with what they can do."""
        del request
        chats: list[Json] = [_able(name, "chat", "tools") for name in self.names()]
        embeds: list[Json] = [_able(name, "embeddings") for name in EMBEDDING_MODELS]
        return self.listed({"object": "list", "data": [*chats, *embeds]})

    def load(self, request: Request) -> Play:
        """Load a model."""
        name = string(request.body.get("model"))

        if name not in self.all_names():
            body: JsonObject = {"loaded": [], "message": f"model {name} not found"}
            return Play(status=400, body=dump(body))

        return self.told({"loaded": [name], "message": "model loaded"})


def _able(name: str, *capabilities: str) -> JsonObject:
    return {
        "id": name,
        "object": "model",
        "capabilities": [*capabilities],
        "input_modalities": ["text"],
        "output_modalities": ["text"],
    }
