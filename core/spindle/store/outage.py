"""Tells a database that is away from a statement that is wrong, and remembers that it is away.

Who finds it away waits out a timeout of some seconds. Everybody else in that moment is told at
once, so that a thousand callers do not queue for the same timeout.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from spindle_spi.errors import InvalidArgument, Unavailable

if TYPE_CHECKING:
    from collections.abc import Generator

_LOG = structlog.get_logger("spindle.store")

RETRY_SECONDS: Final = 1.0
"""How long nobody tries again after a failure, and what a client is told to wait."""
_REMEMBERED_SECONDS: Final = 10.0
"""How long a failure counts when nobody tried since."""

_AWAY_STATES: Final = ("08", "53", "57", "40001", "40P01", "55P03", "25006", "3D000")
"""SQLSTATEs by their beginning: connection lost, no room, shut down or timed out, lost a race for
a lock, read-only after a failover, dropped."""
_AWAY_SQLITE: Final = frozenset({5, 6, 8, 10, 13, 14})
"""SQLite's primary codes: busy, locked, read-only, I/O error, disk full, cannot open."""


class StoreUnavailable(Unavailable):
    """The database cannot be used at the moment; nothing of the transaction is kept."""

    default_code = "core.store.unavailable"


class StoreRefused(InvalidArgument):
    """A value is not one the database can keep: a number too big, a text with a zero in it."""

    default_code = "core.store.refused"


class Outage:
    """What is known of one direction, reading or writing."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failed_at: float | None = None

    @property
    def is_on(self) -> bool:
        """Whether the last try failed, not long ago."""
        failed_at = self._failed_at
        return failed_at is not None and time.monotonic() - failed_at < _REMEMBERED_SECONDS

    @contextmanager
    def observed(self) -> Generator[None]:
        """Watch one try.

        Raises:
            StoreUnavailable: It failed because the database is away, or just did so for another.
            StoreRefused: The database is there and does not take a value.
        """
        failed_at = self._failed_at

        if failed_at is not None and time.monotonic() - failed_at < RETRY_SECONDS:
            raise _unavailable()

        try:
            yield
        except (OSError, PoolTimeout, DBAPIError) as exc:
            if _is_value(exc):
                raise StoreRefused("There is a value that the database cannot keep.") from exc

            if not is_away(exc):
                raise

            if not self.is_on:
                _LOG.error("store unavailable", doing=self._what, kind=_kind(exc))

            self._failed_at = time.monotonic()
            raise _unavailable() from exc
        else:
            if self.is_on:
                _LOG.info("store available again", doing=self._what)

            self._failed_at = None


def is_away(exc: BaseException) -> bool:
    """Tell whether an error means that the database cannot be used, not that a statement is wrong.

    A connection that times out, is refused or breaks; a lock that is not given; no room; SQLite's
    own words for the same.
    """
    if not isinstance(exc, DBAPIError):
        return True

    if exc.connection_invalidated:
        return True

    original = exc.orig
    state = getattr(original, "sqlstate", None)

    if isinstance(state, str):
        return state.startswith(_AWAY_STATES)

    code = getattr(original, "sqlite_errorcode", None)

    if isinstance(code, int):
        return code & 0xFF in _AWAY_SQLITE

    # A driver that says neither: asyncpg, of a connection that is closed or timed out.
    return isinstance(getattr(original, "__cause__", None), OSError) or _is_closed(original)


def _is_value(exc: BaseException) -> bool:
    # Classes of SQLSTATEs: "data exception", and "program limit exceeded", which a text too long
    # for an index is. SQLite takes nearly everything.
    state = getattr(getattr(exc, "orig", None), "sqlstate", None)
    return isinstance(state, str) and state.startswith(("22", "54"))


def _is_closed(original: BaseException | None) -> bool:
    return type(original).__name__ == "InterfaceError" and "closed" in str(original)


def _kind(exc: BaseException) -> str:
    return type(getattr(exc, "orig", None) or exc).__name__


def _unavailable() -> StoreUnavailable:
    return StoreUnavailable(
        "The database cannot be reached at the moment: try again.", retry_after=RETRY_SECONDS
    )
