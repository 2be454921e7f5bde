"""Limits that several processes share by slices from a real Redis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
import pytest
from redis.asyncio import Redis

from spindle.config.limits import LimitSettings
from spindle.limits import Limits
from spindle.limits.slices import SliceMeter, Slices
from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.errors import RateLimited, Unavailable
from tests.support.services import REDIS, is_reachable, needs_redis

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

URL = f"redis://{REDIS}/0"
CALLER = AuthenticatedContext(
    subject=Subject(token_id="t"),
    visibility_scope=VisibilityScope(),
    trace=TraceContext(request_id="r"),
)


@pytest.fixture
async def make() -> AsyncGenerator[Callable[..., Limits]]:
    prefix, made = f"spindle-test-{uuid4().hex}", list[Limits]()

    def make(**changes: object) -> Limits:
        given: dict[str, object] = {
            "backend": "redis",
            "redis_url": URL,
            "redis_prefix": prefix,
            "requests_per_minute": 40,
            **changes,
        }
        made.append(Limits(LimitSettings.model_validate(given)))
        return made[-1]

    yield make

    for limits in made:
        await limits.close()

    if not is_reachable(REDIS):
        return

    redis: Redis = Redis.from_url(URL)  # pyright: ignore[reportUnknownMemberType]

    keys = await redis.keys(f"{prefix}:*")  # pyright: ignore[reportUnknownMemberType]

    if keys:
        await redis.delete(*keys)

    await redis.aclose()


async def spend(limits: Limits, tokens: int = 1) -> bool:
    try:
        await limits.prepare(CALLER, None, tokens)
        limits.take(CALLER, None, tokens)
    except RateLimited as exc:
        return not 0 < (exc.retry_after or 0.0) <= 120

    return True


@needs_redis
async def test_two_processes_do_together_what_one_may(make: Callable[..., Limits]) -> None:
    """Not one more, and all of it but for slices that the other holds."""
    await in_one_minute()
    one, two = make(), make()
    done = [0, 0]

    for number in range(200):
        done[number % 2] += await spend((one, two)[number % 2])

    assert sum(done) == 40
    assert min(done) > 5


@needs_redis
async def test_most_calls_ask_nobody(
    make: Callable[..., Limits], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice serves many."""
    limits = make(requests_per_minute=800)
    assert limits.is_awaited
    asked = 0
    refill = Slices.refill

    async def counted(slices: Slices, meter: SliceMeter, amount: int) -> None:
        nonlocal asked
        asked += 1
        await refill(slices, meter, amount)

    monkeypatch.setattr(Slices, "refill", counted)

    for _ in range(90):
        assert await spend(limits)

    assert 1 <= asked <= 4


@needs_redis
async def test_tokens_that_were_used_beyond_a_slice_are_a_debt(
    make: Callable[..., Limits],
) -> None:
    """It is taken from the next slice before anything else."""
    await in_one_minute()
    limits, other = make(tokens_per_minute=100), make(tokens_per_minute=100)
    await limits.prepare(CALLER, None, 10)
    taken = limits.take(CALLER, None, 10)
    limits.settle(taken, 95)
    assert await spend(limits, 5)
    assert not await spend(limits, 5)
    assert not await spend(other, 5)


async def test_without_redis_each_process_counts_by_itself(make: Callable[..., Limits]) -> None:
    """When that is wanted; the limit is each process's then."""
    limits = make(
        redis_url="redis://127.0.0.1:1/0", requests_per_minute=2, on_backend_error="local"
    )
    assert [await spend(limits) for _ in range(3)] == [True, True, False]
    taken = make(redis_url="redis://127.0.0.1:1/0", tokens_per_minute=5, requests_per_minute=None)
    await taken.prepare(CALLER, None, 1)
    taken.settle(taken.take(CALLER, None, 1), 5)
    assert not await spend(taken)


async def test_without_redis_nothing_is_allowed_in_production() -> None:
    """Unless the configuration says otherwise."""
    settings = LimitSettings(
        backend="redis", redis_url="redis://127.0.0.1:1/0", requests_per_minute=2
    )
    limits = Limits(settings, is_production=True)

    for _ in range(2):
        with pytest.raises(Unavailable):
            await limits.prepare(CALLER, None, 1)

    await limits.close()


async def in_one_minute() -> None:
    """Wait, rarely, so that the test does not run over the turn of a minute."""
    left = 60 - time.time() % 60

    if left < 3:
        await anyio.sleep(left + 0.05)
