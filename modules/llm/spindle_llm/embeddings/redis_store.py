"""Vectors kept in Redis, for all workers; a Redis that is away is a store that has nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from spindle_llm.embeddings.store import VectorStore
from spindle_spi.observability import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spindle_spi.observability import ObservabilityService

_PREFIX: Final = "spindle:embedding:"
_ANSWER_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 5.0
"""How long a Redis that failed is not asked again."""
_AT_ONCE: Final = 256
"""Keys of one command."""
_FAILURES: Final = (RedisError, OSError)


class RedisStore(VectorStore):
    """Keys of ours under one prefix, each with its own time to live."""

    def __init__(
        self,
        url: str,
        *,
        ttl_seconds: float,
        observability: ObservabilityService,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect when it is first used.

        Raises:
            ValueError: The address cannot be read.
        """
        self._ttl_ms = max(1, round(ttl_seconds * 1000))
        self._observability = observability
        self._clock = clock
        self._away_until = 0.0
        self._is_away = False
        self._redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS
        )

    async def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what Redis has of the keys; nothing when it is away."""
        found: dict[str, bytes] = {}

        if self._clock() < self._away_until:
            return found

        try:
            for at in range(0, len(keys), _AT_ONCE):
                part = keys[at : at + _AT_ONCE]
                values = await self._redis.mget([_PREFIX + key for key in part])
                found |= {
                    key: value
                    for key, value in zip(part, values, strict=True)
                    if isinstance(value, bytes)
                }
        except _FAILURES as exc:
            self._fail(exc)
        else:
            self._is_away = False

        return found

    async def put(self, values: Mapping[str, bytes]) -> None:
        """Keep values; none when Redis is away."""
        if self._clock() < self._away_until:
            return

        entries = [*values.items()]

        try:
            for at in range(0, len(entries), _AT_ONCE):
                pipeline = self._redis.pipeline(transaction=False)

                for key, value in entries[at : at + _AT_ONCE]:
                    pipeline.set(_PREFIX + key, value, px=self._ttl_ms)

                await pipeline.execute()
        except _FAILURES as exc:
            self._fail(exc)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _fail(self, exc: Exception) -> None:
        """Leave it alone for a while; an outage is one line in the log, not one for each call."""
        self._away_until = self._clock() + _PAUSE_SECONDS

        if not self._is_away:
            self._is_away = True
            # The kind of failure alone: its words may hold the address, with a password.
            self._observability.log(
                Level.WARNING, "llm.embeddings_cache.away", {"error": type(exc).__name__}
            )
