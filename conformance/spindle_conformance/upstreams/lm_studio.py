"""An upstream that answers as LM Studio does; `Quirk.OLD` is one from before its API v1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.anthropic import messages_routes
from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.dialects.local import LM_STUDIO
from spindle_conformance.upstreams.embeddings import MODELS as EMBEDDING_MODELS
from spindle_conformance.upstreams.faults import Failure
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_conformance.upstreams.requests import Request, string
from spindle_conformance.upstreams.simulator import Quirk, Routes

if TYPE_CHECKING:
    from spindle_conformance.upstreams.server import Play
    from spindle_spi.types import Json, JsonObject

_LOADED = ("plain", "echo")
_CONTEXT_LENGTH = 8192


@dataclass(slots=True, kw_only=True)
class LMStudioSimulator(OpenAISimulator):
    """LM Studio."""

    dialect: Dialect = LM_STUDIO

    def routes(self) -> Routes:
        """Return what is served."""
        newer = {
            ("GET", "/api/v1/models"): self.native_models,
            ("POST", "/api/v1/models/load"): self.load,
            ("POST", "/api/v1/models/unload"): self.unload,
            **messages_routes(self),
        }
        return {
            ("GET", "/api/v0/models"): self.old_models,
            ("GET", "/api/v0/models/*"): self.old_model,
            **({} if Quirk.OLD in self.quirks else newer),
            **OpenAISimulator.routes(self),
        }

    def is_known(self, request: Request) -> bool:
        """Tell whether the credential is good; that of Anthropic's clients where they come."""
        if request.path.startswith("/v1/messages"):
            return self.key is None or request.key == self.key

        return OpenAISimulator.is_known(self, request)

    def embeddings(self, request: Request) -> Play:
        """Answer with floats, whatever was asked for, and count nothing."""
        return self.embedded(request, float_only=True, counts_tokens=False)

    def entry(self, name: str) -> JsonObject:
        """Return a model as it is listed."""
        return {"id": name, "object": "model", "owned_by": "organization_owner"}

    def native_models(self, request: Request) -> Play:
        """List the models as API v1 does."""
        del request
        models: list[Json] = [self._native(name) for name in self.all_names()]
        return self.listed({"models": models})

    def old_models(self, request: Request) -> Play:
        """List the models as API v0 does."""
        del request
        data: list[Json] = [self._old(name) for name in self.all_names()]
        return self.listed({"object": "list", "data": data})

    def old_model(self, request: Request) -> Play:
        """Answer with one model as API v0 does."""
        name = request.path.removeprefix("/api/v0/models/")

        if name not in self.all_names():
            return self.refuse(Failure.NO_MODEL, model=name)

        return self.told(self._old(name))

    def load(self, request: Request) -> Play:
        """Load a model."""
        name = string(request.body.get("model"))

        if name not in self.all_names():
            return self.refuse(Failure.NO_MODEL, model=name)

        kind = "embedding" if name in EMBEDDING_MODELS else "llm"
        loaded: JsonObject = {"instance_id": name, "load_time_seconds": 0.1, "status": "loaded"}
        return self.told({"type": kind, **loaded})

    def unload(self, request: Request) -> Play:
        """Unload an instance."""
        return self.told({"instance_id": request.body.get("instance_id")})

    def _is_loaded(self, name: str) -> bool:
        return name in _LOADED and Quirk.NOTHING_RUNNING not in self.quirks

    def _native(self, name: str) -> JsonObject:
        config: JsonObject = {"context_length": _CONTEXT_LENGTH, "flash_attention": True}
        instances: list[Json] = [{"id": name, "config": config}] if self._is_loaded(name) else []
        entry: JsonObject = {
            "type": "embedding" if name in EMBEDDING_MODELS else "llm",
            "publisher": "simulator",
            "key": name,
            "display_name": name.title(),
            "quantization": {"name": "Q4_K_M", "bits_per_weight": 4},
            "size_bytes": 4_000_000_000,
            "params_string": "7B",
            "loaded_instances": instances,
            "max_context_length": _CONTEXT_LENGTH,
            "format": "gguf",
        }

        if name in EMBEDDING_MODELS:
            return entry

        reasoning: JsonObject = {"allowed_options": ["off", "on"], "default": "on"}
        capabilities: JsonObject = {"vision": False, "trained_for_tool_use": True}
        return {
            **entry,
            "architecture": "llama",
            "capabilities": {**capabilities, "reasoning": reasoning},
            "description": None,
        }

    def _old(self, name: str) -> JsonObject:
        return {
            "id": name,
            "object": "model",
            "type": "embeddings" if name in EMBEDDING_MODELS else "llm",
            "publisher": "simulator",
            "arch": "llama",
            "compatibility_type": "gguf",
            "quantization": "Q4_K_M",
            "state": "loaded" if self._is_loaded(name) else "not-loaded",
            "max_context_length": _CONTEXT_LENGTH,
        }
