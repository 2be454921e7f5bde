"""The schema: made at once or migrated, it is the same; what is not ours is left alone."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from spindle.store import Store
from spindle.store.schema import HEAD, MIGRATIONS
from spindle.store.tables import METADATA
from spindle_spi.errors import ConfigError
from tests.core.store.opened import opened, token, url_of

if TYPE_CHECKING:
    from pathlib import Path


def execute(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """Run statements on the database of a directory, beside the store."""
    connection = sqlite3.connect(path / "spindle.db")

    try:
        with connection:
            rows: list[tuple[object, ...]] = []

            for statement in statements:
                rows = connection.execute(statement).fetchall()

        return rows
    finally:
        connection.close()


def shape(path: Path) -> dict[str, object]:
    """Return every table's columns, keys and indexes as SQLite sees them."""
    tables = [
        str(name) for (name,) in execute(path, "SELECT name FROM sqlite_master WHERE type='table'")
    ]
    pragmas = ("table_info", "foreign_key_list", "index_list")
    found: dict[str, object] = {
        # The first column of an index list is its position: the order indexes were made in.
        f"{table}.{pragma}": sorted(
            str(row[pragma == "index_list" :]) for row in execute(path, f"PRAGMA {pragma}({table})")
        )
        for table in tables
        for pragma in pragmas
    }
    indexes = execute(path, "SELECT name, tbl_name, sql FROM sqlite_master WHERE type='index'")
    return found | {"indexes": sorted(map(str, indexes))}


async def test_a_fresh_database_and_a_migrated_one_have_the_same_schema(tmp_path: Path) -> None:
    """Both ways lead to the same tables, columns, keys and indexes, and to the same first row."""
    fresh, migrated = tmp_path / "fresh", tmp_path / "migrated"
    migrated.mkdir()
    execute(migrated, "CREATE TABLE alembic_version (version_num TEXT NOT NULL PRIMARY KEY)")

    async with opened(fresh) as one, opened(migrated) as other:
        assert await one.revision() == await other.revision() == 0
        await other.tokens.create(token("a"))

    assert shape(fresh) == shape(migrated)
    assert execute(fresh, "SELECT * FROM alembic_version") == [(HEAD,)]
    assert execute(migrated, "SELECT * FROM alembic_version") == [(HEAD,)]


async def test_the_metadata_and_the_migrations_do_not_differ(tmp_path: Path) -> None:
    """Alembic itself finds nothing to do, and its newest migration is the one we stamp."""
    async with opened(tmp_path):
        pass

    engine = create_engine(f"sqlite:///{tmp_path}/spindle.db")

    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []

    engine.dispose()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_opening_again_keeps_everything(tmp_path: Path) -> None:
    """The second start finds what the first one wrote."""
    async with opened(tmp_path) as store:
        await store.tokens.create(token("a"))

    async with opened(tmp_path) as store:
        assert [row.name for row in await store.tokens.all()] == ["a"]
        assert await store.revision() == 1


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """An older program must not write into it; the message says why."""
    async with opened(tmp_path):
        pass

    execute(tmp_path, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(ConfigError, match="newer Spindle"):
        await Store.open(url_of(tmp_path))


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """Tables of the same name that we did not make are not touched."""
    execute(tmp_path, "CREATE TABLE sessions (id INTEGER)")

    with pytest.raises(ConfigError, match="did not make"):
        await Store.open(url_of(tmp_path))

    assert execute(tmp_path, "SELECT name FROM sqlite_master") == [("sessions",)]


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file with other content, a directory, a place nobody may write to."""
    (tmp_path / "spindle.db").write_text("no database at all, but long enough to look like one")
    (tmp_path / "blocked").write_text("")

    for url in (
        url_of(tmp_path),
        url_of(tmp_path / "blocked"),
        "sqlite+aiosqlite:////proc/spindle/spindle.db",
        "sqlite+aiosqlite://",
    ):
        with pytest.raises(ConfigError, match=r"^store\.url: sqlite"):
            await Store.open(url)


async def test_a_failure_to_open_never_shows_the_password() -> None:
    """The driver is not installed here; the message names the URL without its password."""
    with pytest.raises(ConfigError, match=r"store\.url: postgresql") as caught:
        await Store.open("postgresql+nosuchdriver://me:canary-password@127.0.0.1:1/x")

    assert "canary" not in str(caught.value)


def test_two_processes_may_start_on_the_same_fresh_database(tmp_path: Path) -> None:
    """Whoever comes second finds the schema made."""
    script = (
        "import anyio, sys\n"
        "from spindle.store import Store\n"
        "async def main():\n"
        "    store = await Store.open(sys.argv[1])\n"
        "    print(await store.revision(), 'alembic' in sys.modules)\n"
        "    await store.close()\n"
        "anyio.run(main)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, url_of(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]

    # Nor does any of them import Alembic: it has nothing to do on a fresh database.
    assert [process.communicate(timeout=50)[0] for process in processes] == ["0 False\n"] * 3
