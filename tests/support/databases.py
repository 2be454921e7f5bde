"""A fresh database for each test, on SQLite and on PostgreSQL.

`engine` is the parameter, `database_url` what to open. On PostgreSQL one database serves the
session and is emptied for each test: that takes a third of the time of making a new one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest
from anyio.from_thread import start_blocking_portal
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.support.services import POSTGRESQL, needs_postgresql

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

ENGINES: Final = ("sqlite", pytest.param("postgresql", marks=needs_postgresql))
CHOSEN: Final = os.environ.get("SPINDLE_TEST_ENGINE", "sqlite")
"""What a core in a test keeps its data in, where the test does not say: `make test-postgresql`."""

_USER = "postgres"
_NAME = f"spindle_test_{os.getpid()}"


def sqlite_url(path: Path) -> str:
    """Return the URL of the database in a directory."""
    return f"sqlite+aiosqlite:///{path}/spindle.db"


def postgresql_url(name: str = _NAME, address: str = POSTGRESQL) -> str:
    """Return the URL of a database, by default this session's."""
    return f"postgresql+asyncpg://{_USER}@{address}/{name}"


async def store_environ(home: Path) -> dict[str, str]:
    """Return the environment of a core in a test: its store on the chosen engine.

    A home that was not asked for last gets an empty database: a process runs one test at a time.
    """
    if CHOSEN == "sqlite":
        return {}

    if _last_home != [home]:
        await empty(_NAME)
        _last_home[:] = [home]

    return {"SPINDLE__STORE__URL": postgresql_url()}


_last_home: list[Path] = []


async def execute(name: str, *statements: str) -> None:
    """Run statements on a PostgreSQL database, beside any store."""
    engine = create_async_engine(
        postgresql_url(name), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )

    async with engine.connect() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """One engine after the other."""
    return str(request.param)


@pytest.fixture
async def database_url(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncGenerator[str]:
    """Give the URL of an empty database of the engine."""
    if engine == "sqlite":
        yield sqlite_url(tmp_path)
        return

    request.getfixturevalue("postgresql_server")
    await empty(_NAME)
    yield postgresql_url()


async def empty(name: str) -> None:
    """Take everything out of a database, and everybody else."""
    await execute(
        name,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
    )


@pytest.fixture
async def postgresql_database(postgresql_server: str) -> str:
    """Give the URL of an empty database, for tests of PostgreSQL alone (mark: needs_postgresql)."""
    await empty(postgresql_server)
    return postgresql_url()


@pytest.fixture(scope="session")
def postgresql_server() -> Generator[str]:
    """Make this session's database, and take it away at the end."""
    # A loop of its own: this may be asked for in the middle of an asynchronous fixture.
    with start_blocking_portal() as portal:
        portal.call(execute, "postgres", f'CREATE DATABASE "{_NAME}"')
        yield _NAME
        portal.call(execute, "postgres", f'DROP DATABASE IF EXISTS "{_NAME}" WITH (FORCE)')


@pytest.fixture(scope="session", autouse=CHOSEN != "sqlite")
def chosen_engine(request: pytest.FixtureRequest) -> None:
    """Make the session's database where every core of the tests needs it."""
    request.getfixturevalue("postgresql_server")
