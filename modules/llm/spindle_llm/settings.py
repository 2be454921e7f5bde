"""The module's section of the configuration (`llm:` without `services`) as data, and its schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spindle_llm.chat.settings import CHAT_SCHEMA
from spindle_llm.embeddings.settings import CACHE_SCHEMA, CacheSettings
from spindle_llm.routing.settings import ROUTING_SCHEMA, RoutingSettings
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "default_service": {
            "type": "string",
            "minLength": 1,
            "description": "Service in which names without a service are looked for first.",
        },
        "default_model": {
            "type": "string",
            "minLength": 1,
            "description": "Model used by requests that name none.",
        },
        "temperature": {
            "type": "number",
            "minimum": 0,
            "maximum": 2,
            "description": "Temperature of requests that give none, for models that take it.",
        },
        "max_tokens": {
            "type": "integer",
            "minimum": 1,
            "description": "Most tokens of an answer where a request does not say.",
        },
        "keep_alive_seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "description": "Silence in a stream after which a comment is sent to the client.",
        },
        "answer_limit_bytes": {
            "type": "integer",
            "minimum": 1024,
            "description": "Largest answer, and largest event of a stream, taken from an upstream.",
        },
        "responses_ttl_seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 31_536_000,
            "description": "How long responses of `/v1/responses` are kept for their owners.",
        },
        "discover_local": {
            "type": "boolean",
            "description": "Whether servers of local models are looked for on their default ports.",
        },
        "discovery_interval_seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 86_400,
            "description": "How often providers with discovery are asked for their models again.",
        },
        "routing": ROUTING_SCHEMA,
        "chat": CHAT_SCHEMA,
        "embeddings_cache": CACHE_SCHEMA,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmSettings:
    """What the operator set for the module as a whole."""

    default_service: str | None = None
    default_model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    keep_alive_seconds: float = 15.0
    answer_limit_bytes: int = 64 * 1024 * 1024
    responses_ttl_seconds: float = 30 * 24 * 3600.0
    discover_local: bool | None = None
    """None: where no service is declared."""
    discovery_interval_seconds: float = 60.0
    routing: RoutingSettings = field(default_factory=RoutingSettings)
    chat: JsonObject = field(default_factory=dict[str, Json])
    embeddings_cache: CacheSettings = field(default_factory=CacheSettings)

    @property
    def has_defaults(self) -> bool:
        """Whether requests to any model may get a parameter they do not give."""
        return self.temperature is not None or self.max_tokens is not None

    @classmethod
    def of(cls, section: JsonObject) -> LlmSettings:
        """Return the settings of a section that holds to `SCHEMA`."""
        chat, routing = section.get("chat"), section.get("routing")
        cache = section.get("embeddings_cache")
        return cls(
            default_service=_text(section, "default_service"),
            default_model=_text(section, "default_model"),
            temperature=_number(section, "temperature"),
            max_tokens=_whole(section, "max_tokens"),
            keep_alive_seconds=_number(section, "keep_alive_seconds") or 15.0,
            answer_limit_bytes=_whole(section, "answer_limit_bytes") or 64 * 1024 * 1024,
            responses_ttl_seconds=_number(section, "responses_ttl_seconds") or 30 * 24 * 3600.0,
            discover_local=_flag(section, "discover_local"),
            discovery_interval_seconds=_number(section, "discovery_interval_seconds") or 60.0,
            routing=RoutingSettings.of(routing if isinstance(routing, dict) else {}),
            chat=chat if isinstance(chat, dict) else {},
            embeddings_cache=CacheSettings.of(cache if isinstance(cache, dict) else {}),
        )


def _text(section: JsonObject, key: str) -> str | None:
    value = section.get(key)
    return value if isinstance(value, str) else None


def _flag(section: JsonObject, key: str) -> bool | None:
    value = section.get(key)
    return value if isinstance(value, bool) else None


def _number(section: JsonObject, key: str) -> float | None:
    value = section.get(key)
    return float(value) if isinstance(value, int | float) else None


def _whole(section: JsonObject, key: str) -> int | None:
    value = section.get(key)
    return value if isinstance(value, int) else None
