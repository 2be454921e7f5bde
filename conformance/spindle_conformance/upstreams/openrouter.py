"""An upstream that answers as OpenRouter does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.dialects.openai import CREATED
from spindle_conformance.upstreams.dialects.openrouter import OPENROUTER
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_spi.types import Json

if TYPE_CHECKING:
    from spindle_conformance.upstreams.simulator import Routes
    from spindle_spi.types import JsonObject

_CONTEXT_LENGTH = 131_072
_PARAMETERS = ("max_tokens", "temperature", "top_p", "stop", "tools", "tool_choice", "reasoning")


@dataclass(slots=True, kw_only=True)
class OpenRouterSimulator(OpenAISimulator):
    """OpenRouter."""

    dialect: Dialect = OPENROUTER

    open_paths: ClassVar[frozenset[str]] = frozenset({"/api/v1/models", "/v1/models", "/models"})

    def routes(self) -> Routes:
        """Return what is served; the prefix is `/api/v1`."""
        routes = self.openai_routes()
        below = {(method, "/api/v1" + path): route for (method, path), route in routes.items()}
        return {**below, **OpenAISimulator.routes(self)}

    def entry(self, name: str) -> JsonObject:
        """Return a model as it is listed: with its prices for a token, as texts."""
        architecture: JsonObject = {
            "modality": "text->text",
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "tokenizer": "Other",
            "instruct_type": None,
        }
        limits: JsonObject = {
            "context_length": _CONTEXT_LENGTH,
            "max_completion_tokens": 8192,
            "is_moderated": False,
        }
        pricing: JsonObject = {
            "prompt": "0.000001",
            "completion": "0.000002",
            "request": "0",
            "image": "0",
            "input_cache_read": "0.0000001",
        }
        return {
            "id": name,
            "canonical_slug": name,
            "name": name.title(),
            "created": CREATED,
            "description": "A simulated model.",
            "context_length": _CONTEXT_LENGTH,
            "architecture": architecture,
            "pricing": pricing,
            "top_provider": limits,
            "per_request_limits": None,
            "supported_parameters": list[Json](_PARAMETERS),
        }
