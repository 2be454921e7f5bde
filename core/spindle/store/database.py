"""The engine under the repositories: SQLite or PostgreSQL, reads and write transactions."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from sqlalchemy import Connection, event, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from spindle.store.tables import REVISION

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sqlalchemy.engine import URL
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = NORMAL",
)
_WRITES = "spindle_writes"
"""Execution option of connections that are going to write."""


class UnusableDatabase(Exception):
    """The database is not one this version can keep its data in."""


class Database:
    """Connections. Writers take turns in this process; other processes wait at the file's lock."""

    def __init__(self, url: URL) -> None:
        if url.get_backend_name() == "sqlite":
            _make_private(url)

        self.engine: AsyncEngine = create_async_engine(url, pool_size=3, max_overflow=5)
        self._writing = anyio.Lock()

        if url.get_backend_name() == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _set_up_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    @property
    def is_writing(self) -> bool:
        """Whether a writer of this process has its turn."""
        return self._writing.locked()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection, None]:
        """Give a connection for one consistent read; a cancelled caller waits for its end."""
        # A cancelled driver call leaves its thread running on a connection nobody holds.
        with anyio.CancelScope(shield=True):
            async with self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection, None]:
        """Give a connection in a transaction that is committed at the end.

        A cancelled caller waits for that end.
        """
        async with self._writing:
            with anyio.CancelScope(shield=True):
                async with self.engine.connect() as connection:
                    await connection.execution_options(**{_WRITES: True})

                    async with connection.begin():
                        yield connection

    async def revision(self) -> int:
        """Return the number of the last change of tokens or catalog."""
        async with self.reading() as connection:
            return int((await connection.execute(select(REVISION.c.value))).scalar_one())

    async def close(self) -> None:
        """Close every connection."""
        with anyio.CancelScope(shield=True):
            await self.engine.dispose()


async def bump(connection: AsyncConnection) -> int:
    """Raise the revision inside the caller's transaction and return it.

    It is the new epoch of whatever the transaction changes: epochs never come back, not even
    those of a record that was deleted and made again.
    """
    raised = update(REVISION).values(value=REVISION.c.value + 1).returning(REVISION.c.value)
    return int((await connection.execute(raised)).scalar_one())


def _make_private(url: URL) -> None:
    if not url.database or url.database == ":memory:":
        raise UnusableDatabase("SQLite in memory keeps nothing; name a file")

    path = Path(url.database)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives its side files the mode of this one.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)


def _set_up_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    del entry
    # Transactions are begun below, not by the driver's guess at each statement.
    connection.isolation_level = None
    cursor = connection.cursor()

    for pragma in _PRAGMAS:
        cursor.execute(pragma)

    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: a read that turns into a write fails when another process
    # wrote in between, however long it is willing to wait.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
