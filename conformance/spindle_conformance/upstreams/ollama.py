"""An upstream that speaks Ollama's own form, and OpenAI's beside it, as Ollama does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.dialects.ollama import (
    CREATED_AT,
    OLLAMA,
    OLLAMA_COMPATIBLE,
)
from spindle_conformance.upstreams.embeddings import DIMENSIONS, tokens_of, vectors, wanted_in
from spindle_conformance.upstreams.embeddings import MODELS as EMBEDDING_MODELS
from spindle_conformance.upstreams.faults import Failure
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_conformance.upstreams.requests import Request, asked_in_openai, string
from spindle_conformance.upstreams.rules.ollama import fault_in
from spindle_conformance.upstreams.server import Play
from spindle_conformance.upstreams.simulator import Quirk, Routes, Simulator
from spindle_spi.types import Json

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

SIZE = 4_000_000_000
CONTEXT_LENGTH = 8192


@dataclass(slots=True, kw_only=True)
class OllamaSimulator(Simulator):
    """Ollama."""

    dialect: Dialect = OLLAMA

    def routes(self) -> Routes:
        """Return what is served."""
        compatible = _Compatible(key=self.key, quirks=self.quirks)
        return {
            ("GET", "/"): lambda _: Play(body=b"Ollama is running", content_type="text/plain"),
            ("GET", "/api/version"): lambda _: self.told({"version": "0.30.0"}),
            ("GET", "/api/tags"): self.tags,
            ("GET", "/api/ps"): self.running,
            ("POST", "/api/show"): self.show,
            ("POST", "/api/chat"): self.chat,
            ("POST", "/api/generate"): self.generate,
            ("POST", "/api/embed"): self.embed,
            ("POST", "/api/embeddings"): self.embed_one,
            **{
                (method, "/v1" + path): route
                for (method, path), route in compatible.openai_routes().items()
            },
        }

    def wrong_method(self, request: Request) -> Play:
        """Return 405."""
        del request
        return Play(status=405, body=b"405 method not allowed", content_type="text/plain")

    def chat(self, request: Request) -> Play:
        """Answer a chat: lines, unless one object is wanted; without messages, load the model."""
        if not request.is_object:
            return self.refuse(Failure.INVALID, "invalid character in the request")

        if (fault := fault_in(request.body)) is not None:
            return self.refuse(Failure.INVALID, fault)

        if not request.body.get("messages"):
            return self._loaded(request, {"message": {"role": "assistant", "content": ""}})

        asked = asked_in_openai(request.body, request.key)
        return self.played(replace(asked, stream=request.body.get("stream") is not False))

    def generate(self, request: Request) -> Play:
        """Load or unload a model; texts are not generated this way."""
        if request.body.get("prompt"):
            return self.refuse(Failure.INVALID, "the simulator generates by /api/chat alone")

        return self._loaded(request, {"response": ""})

    def embed(self, request: Request) -> Play:
        """Answer an embedding request."""
        wanted = wanted_in(request.body)
        model = string(request.body.get("model"))

        if (play := self.failed(request)) is not None:
            return play

        if model not in EMBEDDING_MODELS:
            return self.refuse(Failure.NO_MODEL, model=model)

        rows = [] if wanted is None else vectors(wanted)
        embeddings: list[Json] = [list[Json](row) for row in rows]
        body: JsonObject = {
            "model": model,
            "embeddings": embeddings,
            "total_duration": 5_000_000,
            "load_duration": 1_000_000,
        }

        if wanted is not None and tokens_of(wanted) and model != "embed-usage-less":
            body["prompt_eval_count"] = tokens_of(wanted)

        return self.told(body)

    def embed_one(self, request: Request) -> Play:
        """Answer an embedding request of the old form."""
        wanted = wanted_in(request.body, "prompt")

        if wanted is None or wanted.model not in EMBEDDING_MODELS:
            return self.refuse(Failure.NO_MODEL, model=string(request.body.get("model")))

        return self.told({"embedding": list[Json](vectors(wanted)[0])})

    def tags(self, request: Request) -> Play:
        """List the models that are there."""
        del request
        models: list[Json] = [self._entry(name) for name in self.all_names()]
        return self.listed({"models": models})

    def running(self, request: Request) -> Play:
        """List the models that are loaded: two of them, the one that stays longest first."""
        del request
        names = () if Quirk.NOTHING_RUNNING in self.quirks else ("plain", "echo")
        models: list[Json] = [
            {
                "name": name,
                "model": name,
                "size": SIZE,
                "digest": "ab" * 32,
                "details": _details(),
                "expires_at": f"2318-01-0{2 - index}T00:00:00Z",
                "size_vram": SIZE,
                "context_length": CONTEXT_LENGTH,
            }
            for index, name in enumerate(names)
        ]
        return self.told({"models": models})

    def show(self, request: Request) -> Play:
        """Tell of one model."""
        name = string(request.body.get("model"))

        if name not in self.all_names():
            return self.refuse(Failure.NO_MODEL, f"model '{name}' not found", status=404)

        info: JsonObject = {
            "general.architecture": "llama",
            "general.parameter_count": 7_615_616_512,
            "llama.context_length": CONTEXT_LENGTH,
            "llama.embedding_length": DIMENSIONS,
        }
        return self.told(
            {
                "modelfile": "# Modelfile",
                "parameters": 'stop  "END"',
                "template": "{{ .Prompt }}",
                "details": _details(),
                "model_info": info,
                "capabilities": _capabilities(name),
                "modified_at": CREATED_AT,
            }
        )

    def _loaded(self, request: Request, member: JsonObject) -> Play:
        name = string(request.body.get("model"))

        if name not in self.names():
            return self.refuse(Failure.NO_MODEL, model=name)

        reason = "unload" if request.body.get("keep_alive") in (0, "0") else "load"
        head: JsonObject = {"model": name, "created_at": CREATED_AT}
        return self.told({**head, **member, "done": True, "done_reason": reason})

    def _entry(self, name: str) -> JsonObject:
        entry: JsonObject = {
            "name": name,
            "model": name,
            "modified_at": CREATED_AT,
            "size": SIZE,
            "digest": "ab" * 32,
            "details": _details(),
        }

        if Quirk.OLD not in self.quirks:
            entry["details"] = {
                **_details(),
                "context_length": CONTEXT_LENGTH,
                "embedding_length": DIMENSIONS,
            }
            entry["capabilities"] = _capabilities(name)

        return entry


@dataclass(slots=True, kw_only=True)
class _Compatible(OpenAISimulator):
    """What Ollama serves in OpenAI's form."""

    dialect: Dialect = OLLAMA_COMPATIBLE

    def entry(self, name: str) -> JsonObject:
        return {"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "library"}


def _details() -> JsonObject:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "7.6B",
        "quantization_level": "Q4_K_M",
    }


def _capabilities(name: str) -> list[Json]:
    return ["embedding"] if name in EMBEDDING_MODELS else ["completion", "tools", "thinking"]
