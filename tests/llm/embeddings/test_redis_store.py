"""Vectors kept in Redis, and a Redis that is away."""

from __future__ import annotations

import uuid

from spindle_conformance.fakes import FakeHost
from spindle_llm.embeddings.redis_store import RedisStore
from tests.llm.support.gateway import until
from tests.support.services import REDIS, needs_redis

URL = f"redis://{REDIS}/0"


def store_at(url: str, host: FakeHost, *, ttl: float = 60.0, clock: list[float]) -> RedisStore:
    """Return a store whose time is what a test says."""
    services = host.services_for("llm")
    return RedisStore(
        url, ttl_seconds=ttl, observability=services.observability, clock=lambda: clock[0]
    )


@needs_redis
async def test_two_workers_share_what_is_kept() -> None:
    """Bytes come back as they were, more than one command's worth of keys too."""
    host, clock = FakeHost(), [0.0]
    one, two = (store_at(URL, host, clock=clock) for _ in range(2))
    values = {uuid.uuid4().hex: bytes([number % 256]) * 8 for number in range(600)}

    try:
        await one.put(values)
        assert await two.get([*values, "gone"]) == values
    finally:
        await one.close()
        await two.close()


@needs_redis
async def test_what_is_kept_ends() -> None:
    """Every key has its own time to live."""
    host, clock = FakeHost(), [0.0]
    store = store_at(URL, host, ttl=0.001, clock=clock)
    key = uuid.uuid4().hex

    try:
        await store.put({key: b"x"})

        while await store.get([key]):
            pass
    finally:
        await store.close()


async def test_a_redis_that_is_away_has_nothing_and_is_one_line_in_the_log() -> None:
    """No failure for the caller, no second line, and nothing of the address in it."""
    host, clock = FakeHost(), [0.0]
    store = store_at("redis://:hunter2@127.0.0.1:9/0", host, clock=clock)

    for _ in range(3):
        assert await store.get(["a"]) == {}
        await store.put({"a": b"1"})
        clock[0] += 10.0

    await store.close()
    await until(lambda: bool(host.journal.logged))
    assert [entry.event for entry in host.journal.logged] == ["llm.embeddings_cache.away"]
    assert "hunter2" not in repr(host.journal.logged)
