"""Sessions and their events in the store."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_spi.session_event import Session
from tests.core.store.opened import opened

if TYPE_CHECKING:
    from spindle.store import Store
    from spindle_spi.session_event import SessionEvent


def session(session_id: str = "s1", *, key: str | None = "k", life: float = 60.0) -> Session:
    now = time.time()
    return Session(
        id=session_id,
        kind="llm.chat",
        owner="user:ada@example.org",
        created_at=now,
        expires_at=now + life,
        key=key,
        data={"model": "mock~echo", "nested": {"a": [1, None]}},
    )


async def test_a_session_comes_back_as_it_was_stored(database_url: str) -> None:
    """By id, and by owner, kind and key."""
    stored = session()

    async with opened(database_url) as store:
        await store.sessions.create(stored, ttl=60)

        assert await store.sessions.get("s1") == stored
        assert await store.sessions.find(stored.owner, "llm.chat", "k") == stored
        assert await store.sessions.find("user:other", "llm.chat", "k") is None
        assert await store.sessions.find(stored.owner, "llm.chat", "other") is None
        assert await store.sessions.get("other") is None


async def test_a_new_session_replaces_that_of_the_same_key_with_its_events(
    database_url: str,
) -> None:
    """Only the same owner's; sessions without a key stand side by side."""
    async with opened(database_url) as store:
        await store.sessions.create(session("old"), ttl=60)
        await store.sessions.append("old", "said", {})
        await store.sessions.create(replace(session("theirs"), owner="user:other"), ttl=60)
        await store.sessions.create(session("one", key=None), ttl=60)
        await store.sessions.create(session("two", key=None), ttl=60)
        await store.sessions.create(session("new"), ttl=60)

        assert await store.sessions.get("old") is None
        assert await store.sessions.replay("old") == ()

        for kept in ("new", "theirs", "one", "two"):
            assert await store.sessions.get(kept) is not None


async def test_events_are_numbered_without_gaps_and_replayed_in_order(database_url: str) -> None:
    """From any point, as many as asked for."""
    async with opened(database_url) as store:
        await store.sessions.create(session(), ttl=60)

        for number in range(1, 6):
            event = await store.sessions.append("s1", "said", {"n": number, "text": "\ud800 é"})
            assert event is not None
            assert event.sequence == number

        replayed = await store.sessions.replay("s1", after=1, limit=3)
        assert [event.data["n"] for event in replayed] == [2, 3, 4]
        assert replayed[0].data["text"] == "\ud800 é"
        found = await store.sessions.get("s1")
        assert found is not None
        assert found.last_sequence == 5


async def test_appending_expects_the_last_event_when_asked_to(database_url: str) -> None:
    """Of two writers who saw the same last event, one is refused."""
    async with opened(database_url) as store:
        await store.sessions.create(session(), ttl=60)
        outcomes: list[SessionEvent | None] = []

        async def append(number: int) -> None:
            outcomes.append(
                await store.sessions.append("s1", "x", {"n": number}, expected_sequence=0)
            )

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(append, number)

        assert sum(event is not None for event in outcomes) == 1
        assert len(await store.sessions.replay("s1")) == 1
        assert await store.sessions.append("nobody", "x", {}) is None


async def test_an_event_extends_the_life_of_its_session(database_url: str) -> None:
    """The session lives its whole time again after the last event."""
    async with opened(database_url) as store:
        await store.sessions.create(session(life=5), ttl=1000)
        await store.sessions.append("s1", "said", {})

        found = await store.sessions.get("s1")
        assert found is not None
        assert found.expires_at > time.time() + 900


async def expired(store: Store) -> None:
    await store.sessions.create(session(life=-1), ttl=60)


async def test_an_expired_session_is_absent_and_takes_no_events(database_url: str) -> None:
    """It cannot be brought back to life."""
    async with opened(database_url) as store:
        await expired(store)

        assert await store.sessions.get("s1") is None
        assert await store.sessions.find(session().owner, "llm.chat", "k") is None
        assert await store.sessions.append("s1", "said", {}) is None


async def test_expired_sessions_are_removed_by_the_next_new_one(database_url: str) -> None:
    """The table does not grow with the past."""
    async with opened(database_url) as store:
        await expired(store)
        await store.sessions.create(session("s2", key="other"), ttl=60)

        assert not await store.sessions.delete("s1")


@pytest.mark.parametrize("count", [0, 3])
async def test_deleting_takes_the_events_along(database_url: str, count: int) -> None:
    """Nothing of a deleted session stays."""
    async with opened(database_url) as store:
        await store.sessions.create(session(), ttl=60)

        for _ in range(count):
            await store.sessions.append("s1", "said", {})

        assert await store.sessions.delete("s1")
        assert not await store.sessions.delete("s1")
        assert await store.sessions.replay("s1") == ()
