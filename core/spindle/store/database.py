"""The engine under the repositories: SQLite or PostgreSQL, reads and write transactions."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio
from sqlalchemy import Connection, event, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from spindle.store.outage import Outage
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

CHANNEL: Final = "spindle_revision"
"""What PostgreSQL tells its listeners of a change on."""
_WRITERS_LOCK: Final = 0x5350494E444C45
"""Key of the advisory lock writers of all processes take turns at: "SPINDLE" in ASCII."""

_RAISED: Final = update(REVISION).values(value=REVISION.c.value + 1).returning(REVISION.c.value)
_RAISED_AND_TOLD: Final = _RAISED.returning(func.pg_notify(CHANNEL, ""))

_CONNECT_SECONDS: Final = 3.0
_STATEMENT_SECONDS: Final = 10.0
_LOCK_SECONDS: Final = 5.0
_IDLE_SECONDS: Final = 30.0
"""A transaction nobody goes on with: the process that began it hangs."""
_POOL_SECONDS: Final = 5.0
_SCHEMA_LOCK_SECONDS: Final = 120.0
"""What a process waits for another one's migration."""


class UnusableDatabase(Exception):
    """The database is not one this version can keep its data in."""


class Database:
    """Connections. Writers take turns: in this process, and among all processes of a database.

    Every wait has an end, so reads and writes may be shielded from cancellation.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self.is_postgresql = url.get_backend_name() == "postgresql"
        self._writing = anyio.Lock()
        self._reads = Outage("reading")
        self._writes = Outage("writing")

        if self.is_postgresql:
            self.engine: AsyncEngine = create_async_engine(
                url,
                pool_size=5,
                max_overflow=5,
                pool_timeout=_POOL_SECONDS,
                pool_pre_ping=True,
                connect_args=_asyncpg_options(_STATEMENT_SECONDS, _LOCK_SECONDS),
            )
            return

        _make_private(url)
        self.engine = create_async_engine(url, pool_size=3, max_overflow=5)
        event.listen(self.engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    @property
    def is_writing(self) -> bool:
        """Whether a writer of this process has its turn."""
        return self._writing.locked()

    @property
    def is_available(self) -> bool:
        """Whether the last read and the last write worked."""
        return not (self._reads.is_on or self._writes.is_on)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection, None]:
        """Give a connection for one consistent read; a cancelled caller waits for its end.

        Raises:
            StoreUnavailable: The database is away.
        """
        # A cancelled driver call leaves its thread running on a connection nobody holds.
        with self._reads.observed(), anyio.CancelScope(shield=True):
            async with self.engine.connect() as connection:
                if self.is_postgresql:
                    await connection.execution_options(
                        isolation_level="REPEATABLE READ", postgresql_readonly=True
                    )

                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection, None]:
        """Give a connection in a transaction that is committed at the end.

        Nobody else writes meanwhile, in no process: what is read in it stays true until its end.
        A cancelled caller waits for that end.

        Raises:
            StoreUnavailable: The database is away; nothing is written, unless it went away in
                the very moment of the commit.
        """
        async with self._transaction() as connection:
            if self.is_postgresql:
                await connection.execute(select(func.pg_advisory_xact_lock(_WRITERS_LOCK)))

            yield connection

    @asynccontextmanager
    async def appending(self) -> AsyncGenerator[AsyncConnection, None]:
        """Give what `writing` gives, for rows only: other processes write at the same time.

        On SQLite there is no difference.

        Raises:
            StoreUnavailable: As `writing`.
        """
        async with self._transaction() as connection:
            yield connection

    @asynccontextmanager
    async def preparing(self) -> AsyncGenerator[AsyncConnection, None]:
        """Give what `writing` gives, with time enough to change the schema.

        Raises:
            StoreUnavailable: As `writing`.
        """
        if not self.is_postgresql:
            async with self.writing() as connection:
                yield connection

            return

        engine = create_async_engine(
            self.url, pool_size=1, connect_args=_asyncpg_options(None, _SCHEMA_LOCK_SECONDS)
        )

        try:
            with self._writes.observed(), anyio.CancelScope(shield=True):
                async with engine.begin() as connection:
                    await connection.execute(select(func.pg_advisory_xact_lock(_WRITERS_LOCK)))
                    yield connection
        finally:
            with anyio.CancelScope(shield=True):
                await engine.dispose()

    async def revision(self) -> int:
        """Return the number of the last change of tokens or catalog."""
        async with self.reading() as connection:
            return int((await connection.execute(select(REVISION.c.value))).scalar_one())

    async def close(self) -> None:
        """Close every connection."""
        with anyio.CancelScope(shield=True):
            await self.engine.dispose()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AsyncConnection, None]:
        async with self._writing:
            with self._writes.observed(), anyio.CancelScope(shield=True):
                async with self.engine.connect() as connection:
                    await connection.execution_options(**{_WRITES: True})

                    async with connection.begin():
                        yield connection


async def bump(connection: AsyncConnection) -> int:
    """Raise the revision inside the caller's transaction and return it.

    It is the new epoch of whatever the transaction changes: epochs never come back, not even
    those of a record that was deleted and made again. PostgreSQL tells every process at the
    commit.
    """
    raised = _RAISED_AND_TOLD if connection.dialect.name == "postgresql" else _RAISED
    return int((await connection.execute(raised)).scalar_one())


def _asyncpg_options(statement_seconds: float | None, lock_seconds: float) -> dict[str, object]:
    settings = {
        "application_name": "spindle",
        "statement_timeout": _milliseconds(statement_seconds or 0),
        "lock_timeout": _milliseconds(lock_seconds),
        "idle_in_transaction_session_timeout": _milliseconds(_IDLE_SECONDS),
    }
    # The server's own timeout comes first; the client's is for a server that says nothing more.
    client = None if statement_seconds is None else statement_seconds + 1
    return {"timeout": _CONNECT_SECONDS, "command_timeout": client, "server_settings": settings}


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


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
