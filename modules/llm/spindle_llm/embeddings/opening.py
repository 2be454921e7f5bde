"""The cache as the settings want it; Redis is imported only when they name one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.embeddings.cache import EmbeddingsCache
from spindle_llm.embeddings.store import MemoryStore

if TYPE_CHECKING:
    from spindle_llm.embeddings.settings import CacheSettings
    from spindle_llm.embeddings.store import VectorStore
    from spindle_spi.observability import ObservabilityService


def open_cache(settings: CacheSettings, observability: ObservabilityService) -> EmbeddingsCache:
    """Return the cache; it keeps nothing where the settings leave it no room."""
    return EmbeddingsCache(_store(settings, observability), shared=settings.shared)


def _store(settings: CacheSettings, observability: ObservabilityService) -> VectorStore | None:
    if settings.url is not None:
        from spindle_llm.embeddings.redis_store import RedisStore

        return RedisStore(
            settings.url, ttl_seconds=settings.ttl_seconds, observability=observability
        )

    if settings.max_bytes == 0:
        return None

    return MemoryStore(max_bytes=settings.max_bytes, ttl_seconds=settings.ttl_seconds)
