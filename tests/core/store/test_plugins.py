"""Stored plugin entries on both engines: changed only as they were read, seen by everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle.config.plugins import PluginSettings
from spindle.plugins.policy import PluginPolicy
from tests.core.store.opened import opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle.store import Store

pytestmark = pytest.mark.anyio

MASK = '{"plugin": "pii", "name": "mask"}'


@pytest.fixture
async def store(database_url: str) -> AsyncGenerator[Store]:
    async with opened(database_url) as store:
        yield store


async def test_a_name_is_taken_once(store: Store) -> None:
    """Who comes second is told."""
    row = await store.plugins.create("mask", MASK, by="ada")
    assert row is not None
    assert (row.name, row.entry, row.updated_by) == ("mask", MASK, "ada")
    assert await store.plugins.create("mask", "{}", by="bob") is None
    assert await store.plugins.all() == (row,)


async def test_a_change_is_made_to_what_was_read(store: Store) -> None:
    """Later than another one it changes nothing; every change raises the revision."""
    first = await store.plugins.create("mask", MASK, by="ada")
    assert first is not None
    second = await store.plugins.update(first, "{}", by="bob")
    assert second is not None
    assert second.epoch > first.epoch
    revision = await store.revision()
    assert await store.plugins.update(first, MASK, by="ada") is None
    assert not await store.plugins.delete(first)
    assert await store.revision() == revision == second.epoch
    assert await store.plugins.delete(second)
    assert await store.plugins.get("mask") is None
    assert await store.revision() > revision


async def test_another_process_follows(database_url: str, store: Store) -> None:
    """Two stores over one database."""
    async with opened(database_url) as other:
        policy = PluginPolicy(PluginSettings(), other.plugins)
        await store.plugins.create("mask", MASK, by="ada")
        (await policy.read())()
        assert [active.name for active in policy.current.active] == ["mask"]
