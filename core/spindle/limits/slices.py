"""Limits shared by several processes: slices of a minute's allowance, leased from Redis.

A process takes a slice in one atomic script and spends it without asking again. What a limit
allows is the whole of all slices in a clock minute; a minute begins with what the one before it
used, less as it goes on. A slice that is not spent by the end of its minute is lost: with P
processes a holder may be refused while the other P-1 hold a slice each, an eighth of what was left
when they took it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spindle.limits.windows import WINDOW, Mark, Window
from spindle_spi.errors import RateLimited, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.config.limits import LimitSettings

_LOG = structlog.get_logger("spindle.limits")

_ANSWER_SECONDS = 1.0
_BACKOFF_SECONDS = 1.0
"""How long Redis is left alone after a failure."""

_SCRIPT = """
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
local minute = math.floor(now / 60)
local into = now - minute * 60
local limit, ask = tonumber(ARGV[1]), tonumber(ARGV[2])
local h = redis.call('HMGET', KEYS[1], 'm', 'c', 'p')
local m, c, p = tonumber(h[1] or '-1'), tonumber(h[2] or '0'), tonumber(h[3] or '0')
if m == minute - 1 then p = c c = 0 elseif m ~= minute then p = 0 c = 0 end
local used = c + p * (60 - into) / 60
local room = math.floor(limit - used)
if room >= 1 then
  local grant = math.min(room, math.max(ask, math.floor(room / 8)))
  redis.call('HSET', KEYS[1], 'm', minute, 'c', c + grant, 'p', p)
  redis.call('EXPIRE', KEYS[1], 130)
  return {grant, math.floor((60 - into) * 1000), 0}
end
local wait
if c <= limit - 1 then wait = (used - (limit - 1)) * 60 / p
else wait = (60 - into) + 60 * (1 - (limit - 1) / c) end
return {0, math.floor((60 - into) * 1000), math.ceil(wait * 1000)}
"""


class SliceMeter:
    """What this process may spend of one holder's minute."""

    def __init__(self, key: str, limit: int) -> None:
        self.key = key
        self.limit = limit
        self.lock = anyio.Lock()
        self.alone: Window | None = None
        """Counts here while Redis is away and each process goes on by itself."""
        self._left = 0
        self._ends_at = 0.0
        self._used_at = time.monotonic()
        self._refused_until = 0.0

    def has_room(self, now: float) -> bool:
        """Tell whether something of the slice is left."""
        if self.alone is not None:
            self.alone.limit = self.limit
            return self.alone.has_room(now)

        return self._left > 0 and now < self._ends_at

    def wait(self, now: float) -> float:
        """Return the seconds until the next slice."""
        if self.alone is not None:
            return self.alone.wait(now)

        return max(0.001, self._refused_until - now)

    def add(self, now: float, amount: int) -> Mark:
        """Spend."""
        self._used_at = now

        if self.alone is not None:
            return self.alone.add(now, amount)

        self._left -= amount
        return Mark(now)

    def correct(self, now: float, mark: Mark, change: int) -> None:
        """Spend more, or get back what is still worth something."""
        if self.alone is not None:
            self.alone.correct(now, mark, change)
        else:
            self._left -= change

    def is_idle(self, now: float) -> bool:
        """Tell whether nothing was counted in the last two minutes."""
        return self._used_at <= now - 2 * WINDOW

    def missing(self, amount: int) -> int:
        """Return how much a slice must be, what was spent beyond the last one included."""
        return amount + max(0, -self._left)

    def refusal(self, now: float) -> float | None:
        """Return the seconds left of a refusal by Redis; None when it may be asked."""
        return self._refused_until - now if now < self._refused_until else None

    def fill(self, granted: int, seconds: float, wait: float) -> None:
        """Take what Redis said."""
        now = time.monotonic()
        # A debt outlives its minute, an unspent rest does not.
        rest = self._left if now < self._ends_at else min(0, self._left)
        self.alone = None
        self._left = rest + granted
        self._ends_at = now + seconds
        self._refused_until = now + wait


class Slices:
    """Fetches slices."""

    def __init__(self, settings: LimitSettings, *, is_production: bool) -> None:
        self._prefix = settings.redis_prefix
        self._is_local = (
            settings.on_backend_error or ("deny" if is_production else "local")
        ) == "local"
        self._redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            settings.redis_url, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=1.0
        )
        self._script = self._redis.register_script(_SCRIPT)
        self._away_until = 0.0

    def meter(self, key: str, limit: int) -> SliceMeter:
        """Return a new meter."""
        return SliceMeter(f"{self._prefix}:limits:{{{key}}}", limit)

    async def refill(self, meter: SliceMeter, amount: int) -> None:
        """Fetch a slice of at least an amount, if there is that much.

        Raises:
            RateLimited: The minute is full.
            Unavailable: Redis is away, and then nothing is allowed.
        """
        async with meter.lock:
            now = time.monotonic()

            if meter.has_room(now):
                return

            waiting = meter.refusal(now)

            if waiting is None:
                await self._ask(meter, amount)
                waiting = meter.refusal(time.monotonic())

            if waiting is not None:
                raise RateLimited(
                    f"More than {meter.limit} in a minute.",
                    code="rate_limit_exceeded",
                    retry_after=max(0.001, waiting),
                )

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _ask(self, meter: SliceMeter, amount: int) -> None:
        now = time.monotonic()

        if now >= self._away_until:
            try:
                said: Sequence[int] = await self._script(
                    keys=[meter.key], args=[meter.limit, meter.missing(amount)]
                )
            except (RedisError, OSError) as exc:
                _LOG.error("limits backend away", kind=type(exc).__name__, local=self._is_local)
                self._away_until = time.monotonic() + _BACKOFF_SECONDS
            else:
                granted, left, wait = said
                meter.fill(granted, left / 1000, wait / 1000)
                return

        if not self._is_local:
            raise Unavailable(
                "Limits cannot be checked at the moment.",
                code="core.limits.unavailable",
                retry_after=_BACKOFF_SECONDS,
            )

        if meter.alone is None:
            meter.alone = Window(meter.limit)
