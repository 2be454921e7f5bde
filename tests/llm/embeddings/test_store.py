"""Vectors kept in memory: for a time, and within bounds."""

from __future__ import annotations

from spindle_llm.embeddings.store import MemoryStore


async def test_what_was_put_is_there_for_its_time() -> None:
    """Then it is gone, and takes no memory."""
    now = [0.0]
    store = MemoryStore(max_bytes=10_000, ttl_seconds=5.0, clock=lambda: now[0])
    await store.put({"a": b"1", "b": b"2"})
    now[0] = 4.9
    assert await store.get(["a", "b", "c"]) == {"a": b"1", "b": b"2"}
    now[0] = 5.0
    assert await store.get(["a", "b"]) == {}
    assert store.size == 0


async def test_the_least_recently_used_goes_first() -> None:
    """Bytes are bounded, overhead included."""
    store = MemoryStore(max_bytes=1200, ttl_seconds=60.0)

    for key in "abc":
        await store.put({key: b"x" * 100})

    await store.get(["a"])
    await store.put({"d": b"x" * 100})
    assert [*await store.get([*"abcd"])] == ["a", "c", "d"]
    assert store.size <= 1200


async def test_entries_are_bounded_too() -> None:
    """However small they are."""
    store = MemoryStore(max_bytes=1_000_000, ttl_seconds=60.0, max_entries=2)
    await store.put(dict.fromkeys("abc", b""))
    assert [*await store.get([*"abc"])] == ["b", "c"]


async def test_what_is_bigger_than_the_store_is_not_kept() -> None:
    """It does not push out everything else either."""
    store = MemoryStore(max_bytes=1000, ttl_seconds=60.0)
    await store.put({"a": b"1"})
    await store.put({"b": b"x" * 1000})
    assert [*await store.get(["a", "b"])] == ["a"]
    await store.put({"a": b"22"})
    size = store.size
    await store.put({"a": b"33"})
    assert store.size == size
    await store.close()
    assert (await store.get(["a"]), store.size) == ({}, 0)
