"""Pins on both engines: who comes second changes nothing, and a decision is whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle.store.pins import Pin, PinWrite
from spindle_spi.records import Kind
from tests.core.store.opened import opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle.store import Store
    from spindle.store.pins import PinKey

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[Store]:
    async with opened(database_url) as store:
        yield store


def key(name: str, source: str = "gateway:files", kind: Kind = Kind.TOOL) -> PinKey:
    return source, kind, name


def write(
    name: str,
    digest: str,
    *,
    before: Pin | None = None,
    rejected: str = "",
    text: str | None = "{}",
) -> PinWrite:
    return PinWrite(key=key(name), pin=Pin(digest, rejected), definition=text, before=before)


async def test_what_is_seen_first_is_kept(store: Store) -> None:
    """Whoever sees another thing at the same moment has seen it second."""
    assert await store.pins.see([write("a", "1", text="one"), write("b", "1")])
    revision = await store.revision()
    assert not await store.pins.see([write("a", "2")])
    assert await store.revision() == revision
    assert await store.pins.see([write("a", "2"), write("c", "1")])
    assert await store.pins.all() == {
        key("a"): Pin("1", ""),
        key("b"): Pin("1", ""),
        key("c"): Pin("1", ""),
    }
    assert await store.pins.definitions([key("a"), key("b"), key("z")]) == {
        key("a"): "one",
        key("b"): "{}",
    }


async def test_a_decision_is_of_what_was_read(store: Store) -> None:
    """One that was decided in between leaves all of them as they are."""
    await store.pins.see([write("a", "1", text="one"), write("b", "1")])
    stale = write("b", "2", before=Pin("0", ""))
    fresh = write("a", "2", before=Pin("1", ""), text="two")
    assert not await store.pins.decide([fresh, stale], by="ada", audit=())
    assert (await store.pins.all())[key("a")] == Pin("1", "")
    assert await store.pins.decide([fresh], by="ada", audit=())
    rejected = write("a", "2", before=Pin("2", ""), rejected="3", text=None)
    assert await store.pins.decide([rejected], by="ada", audit=())
    assert (await store.pins.all())[key("a")] == Pin("2", "3")
    # To reject one leaves the definition that holds.
    assert await store.pins.definitions([key("a")]) == {key("a"): "two"}
    assert await store.pins.decide([], by="ada", audit=())


async def test_many_are_kept_and_forgotten_in_batches(store: Store) -> None:
    """More than one statement names."""
    names = [f"t{number}" for number in range(450)]
    assert await store.pins.see([write(name, "1") for name in names])
    assert len(await store.pins.definitions(map(key, names))) == 450
    assert await store.pins.see([], map(key, names[10:]))
    assert sorted(name for _, _, name in await store.pins.all()) == sorted(names[:10])
