"""Hears of a change at once: LISTEN on a PostgreSQL connection of its own.

The net below is the poll of the revision: what is missed here is seen there.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol, cast

import anyio
import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from spindle.store.database import CHANNEL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncConnection

_LOG = structlog.get_logger("spindle.store.notify")
_CONNECT_SECONDS: Final = 3.0
_BEAT_SECONDS: Final = 15.0
"""How often the connection is asked whether it still is one."""
_BEAT_TIMEOUT_SECONDS: Final = 5.0
_BACKOFF_SECONDS: Final = (0.5, 1.0, 2.0, 5.0)


class _Driver(Protocol):
    """What is used of asyncpg's own connection."""

    async def add_listener(self, channel: str, callback: object) -> None: ...

    def add_termination_listener(self, callback: object) -> None: ...


class Notifications:
    """Calls `wake` for every change another process, or this one, commits."""

    def __init__(self, url: URL, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._engine = create_async_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={
                "timeout": _CONNECT_SECONDS,
                "command_timeout": _BEAT_TIMEOUT_SECONDS,
                "server_settings": {"application_name": "spindle listener"},
            },
        )
        self.is_listening = False

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is made again."""
        failures = 0

        while True:
            try:
                async with self._listening() as (connection, lost):
                    failures = 0
                    # What was said while nobody listened.
                    self._wake()
                    await _watch(connection, lost)
            except (OSError, SQLAlchemyError) as exc:
                if failures == 0:
                    _LOG.warning("not listening for changes, polling", kind=type(exc).__name__)

            await anyio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            failures += 1

    @asynccontextmanager
    async def _listening(self) -> AsyncGenerator[tuple[AsyncConnection, anyio.Event]]:
        lost = anyio.Event()

        def hear(*_: object) -> None:
            self._wake()

        def lose(*_: object) -> None:
            lost.set()

        async with self._engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver = cast("_Driver", raw.driver_connection)
            driver.add_termination_listener(lose)
            await driver.add_listener(CHANNEL, hear)
            self.is_listening = True

            try:
                yield connection, lost
            finally:
                self.is_listening = False


async def _watch(connection: AsyncConnection, lost: anyio.Event) -> None:
    """Return when the connection is lost.

    Raises:
        OSError: It does not answer.
        SQLAlchemyError: It does not answer.
    """
    while not lost.is_set():
        with anyio.move_on_after(_BEAT_SECONDS):
            await lost.wait()
            return

        await connection.execute(text("SELECT 1"))
