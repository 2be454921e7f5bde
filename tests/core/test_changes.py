"""The change feed: merged while nobody reads, woken once, ended cleanly."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.changes import ChangeFeed, Listener
from spindle_spi.catalog import ChangeKind, RecordChange
from spindle_spi.records import CatalogRecord, Kind, ServerSpec

if TYPE_CHECKING:
    from collections.abc import Callable

SERVERS = frozenset({Kind.SERVER})


class Source:
    """Stands for the snapshots."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def tell(self, *changes: RecordChange) -> None:
        for listener in tuple(self.listeners):
            listener(changes)


def change(kind: ChangeKind, name: str = "a", epoch: int = 1) -> RecordChange:
    record = CatalogRecord(
        id=name, kind=Kind.SERVER, name=name, spec=ServerSpec(slug=name), epoch=epoch
    )
    return RecordChange(change=kind, record=record)


async def drained(feed: ChangeFeed) -> list[RecordChange]:
    found: list[RecordChange] = []

    with anyio.move_on_after(0.01):
        async for each in feed:
            found.append(each)  # noqa: PERF401 - what came before the end counts

    return found


async def test_a_reader_gets_what_happened_before_and_while_it_waits() -> None:
    """Told before the read, and told into a waiting read: each arrives."""
    source = Source()
    feed = ChangeFeed(source.listen, SERVERS)
    source.tell(change(ChangeKind.ADDED, "a"), change(ChangeKind.ADDED, "b"))
    assert (await anext(feed)).record.name == "a"
    assert (await anext(feed)).record.name == "b"
    got: list[str] = []

    async def read() -> None:
        got.append((await anext(feed)).record.name)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        source.tell(change(ChangeKind.ADDED, "c"))

    assert got == ["c"]
    await feed.aclose()


async def test_other_kinds_do_not_wake() -> None:
    """Only the kinds asked for."""
    source = Source()
    feed = ChangeFeed(source.listen, frozenset({Kind.TOOL}))
    source.tell(change(ChangeKind.ADDED))
    assert await drained(feed) == []


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ("added removed", None),
        ("added updated", "added"),
        ("removed added", "updated"),
        ("updated removed", "removed"),
        ("updated updated", "updated"),
    ],
)
async def test_changes_of_one_record_become_one(told: str, seen: str | None) -> None:
    """For who saw neither, both are one, or nothing; the record is the latest."""
    source = Source()
    feed = ChangeFeed(source.listen, SERVERS)

    for epoch, word in enumerate(told.split()):
        source.tell(change(ChangeKind(word), epoch=epoch))

    found = await drained(feed)
    assert [each.change for each in found] == ([] if seen is None else [ChangeKind(seen)])
    assert all(each.record.epoch == 1 for each in found)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_merged_changes_lead_to_the_same_catalog(steps: list[tuple[str, bool]]) -> None:
    """Whatever came and went: applying what a slow reader sees gives what is there now."""
    source = Source()
    feed = ChangeFeed(source.listen, SERVERS)
    there: set[str] = set()

    for name, is_wanted in steps:
        if is_wanted != (name in there):
            source.tell(change(ChangeKind.ADDED if is_wanted else ChangeKind.REMOVED, name))
            there ^= {name}

    async def apply() -> set[str]:
        shown: set[str] = set()

        for each in await drained(feed):
            assert each.change is not ChangeKind.REMOVED
            shown.add(each.record.name)

        return shown

    assert anyio.run(apply) == there


async def test_closing_ends_a_waiting_reader_and_the_subscription() -> None:
    """Twice closed is once closed; nothing is told to it any more."""
    source = Source()
    feed = ChangeFeed(source.listen, SERVERS)
    found: list[RecordChange] = []

    async def read() -> None:
        found.extend([each async for each in feed])

    with anyio.fail_after(1):
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await feed.aclose()

    await feed.aclose()
    assert found == []
    assert source.listeners == []

    with pytest.raises(StopAsyncIteration):
        await anext(feed)


def test_a_feed_nobody_holds_is_gone() -> None:
    """A reader that was cancelled and never closed leaves nothing behind."""
    source = Source()
    feed = ChangeFeed(source.listen, SERVERS)
    source.tell(change(ChangeKind.ADDED))
    del feed
    gc.collect()
    assert source.listeners == []
