"""The `embeddings_cache` part of the module's section, as data and as a schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

CACHE_SCHEMA: dict[str, Json] = {
    "type": "object",
    "additionalProperties": False,
    "description": "Where vectors are kept for equal inputs.",
    "properties": {
        "url": {
            "type": "string",
            "pattern": "^(rediss?|unix)://",
            "description": "A Redis that all workers share; without it each keeps its own.",
        },
        "ttl_seconds": {
            "type": "number",
            "minimum": 1,
            "maximum": 31_536_000,
            "description": "How long a vector is kept.",
        },
        "max_bytes": {
            "type": "integer",
            "minimum": 0,
            "description": "Memory for kept vectors of a worker without Redis; 0 keeps none.",
        },
        "shared": {
            "type": "boolean",
            "description": "Whether teams share what is kept; by default each has its own.",
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """What the operator set for kept vectors."""

    url: str | None = field(default=None, repr=False)
    """May hold a password."""
    ttl_seconds: float = 24 * 3600.0
    max_bytes: int = 32 * 1024 * 1024
    shared: bool = False

    @classmethod
    def of(cls, section: JsonObject) -> CacheSettings:
        """Return the settings of a section that holds to `CACHE_SCHEMA`."""
        default = cls()
        url, seconds = section.get("url"), section.get("ttl_seconds")
        size = section.get("max_bytes")
        return cls(
            url=url if isinstance(url, str) else None,
            ttl_seconds=seconds if isinstance(seconds, int | float) else default.ttl_seconds,
            max_bytes=size if isinstance(size, int) else default.max_bytes,
            shared=section.get("shared") is True,
        )
