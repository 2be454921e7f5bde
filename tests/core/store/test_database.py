"""Connections: private files, turns of writers, cancelled callers."""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.store import Store
from tests.core.store.opened import opened, provider, token, url_of

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_up(path: Path, bits: int) -> None:
    path.chmod(bits)


async def test_nobody_else_may_read_the_database(tmp_path: Path) -> None:
    """A new home is 0700, the files are 0600, also one that was more open before."""
    home = tmp_path / "home"
    previous = os.umask(0)

    try:
        async with opened(home) as store:
            await store.tokens.create(token("a"))
            assert mode(home) == 0o700
            assert {mode(path) for path in home.iterdir()} == {0o600}
            assert {path.name for path in home.iterdir()} >= {"spindle.db", "spindle.db-wal"}
    finally:
        os.umask(previous)

    open_up(home / "spindle.db", 0o644)

    async with opened(home):
        assert mode(home / "spindle.db") == 0o600


async def test_a_home_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    """The operator's own directory is not touched."""
    open_up(tmp_path, 0o755)

    async with opened(tmp_path):
        assert mode(tmp_path) == 0o755


async def test_the_file_is_set_up_for_many_readers_and_one_writer(tmp_path: Path) -> None:
    """Write-ahead log, waiting for locks, foreign keys, one sync per checkpoint."""
    async with opened(tmp_path) as store, store.database.reading() as connection:
        values = {
            name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        }

    assert values == {
        "journal_mode": "wal",
        "busy_timeout": 5000,
        "foreign_keys": 1,
        "synchronous": 1,
    }


async def test_concurrent_writers_of_two_processes_lose_nothing(tmp_path: Path) -> None:
    """Two stores on one file write at once; every write counts."""
    async with opened(tmp_path) as one, opened(tmp_path) as other:
        async with anyio.create_task_group() as group:
            for number in range(20):
                store = one if number % 2 else other
                group.start_soon(store.tokens.create, token(str(number)))
                group.start_soon(store.catalog.upsert, provider(str(number)))

        assert len(await one.tokens.all()) == 20
        assert len(await other.catalog.all()) == 20
        assert await one.revision() == 40


async def test_a_writer_waits_for_another_processs_lock(tmp_path: Path) -> None:
    """A lock somebody holds for a moment is no failure."""
    async with opened(tmp_path) as store:
        blocker = sqlite3.connect(tmp_path / "spindle.db", isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")

        async with anyio.create_task_group() as group:
            group.start_soon(store.tokens.create, token("a"))

            with anyio.fail_after(5):
                while not store.database.is_writing:
                    await anyio.lowlevel.checkpoint()

            assert await store.tokens.all() == ()
            blocker.execute("COMMIT")

        blocker.close()
        assert len(await store.tokens.all()) == 1


async def test_a_cancelled_writer_leaves_a_whole_transaction(tmp_path: Path) -> None:
    """What was begun is finished or undone, and the store goes on working."""
    async with opened(tmp_path) as store:
        for number in range(20):
            with anyio.move_on_after(0.0005 * (number % 4)):
                await store.tokens.create(token(str(number)))

        assert len(await store.tokens.all()) == await store.revision()
        await store.tokens.create(token("last"))


async def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    """The revision stays where it was, and the next write works."""
    async with opened(tmp_path) as store:
        await store.tokens.create(token("a"))

        with pytest.raises(Exception, match="UNIQUE"):
            await store.tokens.create(token("a"))

        assert await store.revision() == 1
        await store.tokens.create(token("b"))
        assert await store.revision() == 2


async def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    """Shutdown may come from two sides."""
    store = await Store.open(url_of(tmp_path))
    await store.close()
    await store.close()
