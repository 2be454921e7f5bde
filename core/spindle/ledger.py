"""Usage rows on their way to the store: collected on the request path, written in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import structlog
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from spindle.store.outage import StoreRefused, StoreUnavailable
from spindle.store.spending import sums_of
from spindle_spi.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spindle.store import Store, UsageRow
    from spindle.store.rows import Companion
    from spindle.store.spending import Pair, SpendKey

_LOG = structlog.get_logger("spindle.ledger")
_BATCH = 2000
_EARLY = 500
"""Rows that are written before their window ends: what waits is memory, and grows with the rate."""
_RETRY_SECONDS = 1.0

_AWAY = (OSError, SQLAlchemyError, StoreUnavailable, StoreRefused)
_UNWRITABLE = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
"""What is wrong with a row, not with the store: another try would fail as well."""


class Ledger:
    """Loses nothing on a graceful stop; a hard kill loses at most the flush window.

    With a window of 0 every row is written before its answer goes out. Rows of a failed write stay
    for the next one; a row written twice counts once, by its id. What a row is accompanied by (an
    event, what it spent of budgets) is written in the same transaction.
    """

    def __init__(self, store: Store, *, flush_seconds: float, max_pending: int) -> None:
        self._store = store
        self._flush_seconds = flush_seconds
        self._max_pending = max_pending
        self._pending: list[UsageRow] = []
        self._writing = anyio.Lock()
        self._has_many = anyio.Event()
        self._is_failing = False
        self._companions: dict[str, Companion] = {}
        self._is_again = False
        """Whether an earlier try may have been committed without our knowing."""
        self.on_spent: Callable[[Mapping[SpendKey, Pair]], None] = _ignore
        """Told what was spent of budgets, when it is written."""
        self.on_event: Callable[[], None] = _nothing
        """Told that there are events to publish."""

    def pending(self) -> int:
        """Return how many rows wait for the store."""
        return len(self._pending)

    def is_stuck(self) -> bool:
        """Tell whether the store fails and no more rows should come."""
        return self._is_failing and len(self._pending) >= self._max_pending

    async def add(self, row: UsageRow, companion: Companion | None = None) -> None:
        """Take a row; waits for the store only when the window is 0 or the buffer is full.

        Raises:
            Unavailable: The window is 0 and the row is not written yet; it is kept.
        """
        if companion is not None:
            self._companions[row.id] = companion

        self._pending.append(row)

        if self._flush_seconds == 0:
            try:
                await self.flush()
            except _AWAY as exc:
                raise Unavailable(
                    "Usage cannot be recorded at the moment.", code="core.usage.unavailable"
                ) from exc
        elif len(self._pending) >= self._max_pending and not self._is_failing:
            # Already failing, the next window tries again: no call waits for that.
            await self.try_flush()
        elif len(self._pending) >= _EARLY and not self._is_failing:
            self._has_many.set()

    async def flush(self) -> None:
        """Write everything collected so far."""
        async with self._writing:
            while self._pending:
                batch = self._pending[:_BATCH]

                try:
                    await self._write(batch)
                except _AWAY as exc:
                    self._report(exc)
                    raise

                # Only now: whatever interrupts the write leaves the rows where they are.
                del self._pending[: len(batch)]
                self._is_failing = False

    async def try_flush(self) -> None:
        """Write what can be written; what cannot stays."""
        try:
            await self.flush()
        except _AWAY:
            return

    async def run(self) -> None:
        """Flush every window, and early when there is much, until cancelled."""
        while True:
            self._has_many = anyio.Event()

            with anyio.move_on_after(self._flush_seconds or _RETRY_SECONDS):
                await self._has_many.wait()

            await self.try_flush()

    async def close(self) -> None:
        """Write the rest; says how much is lost when that fails."""
        await self.try_flush()

        if self._pending:
            _LOG.critical("usage lost", rows=len(self._pending))

    async def _write(self, batch: Sequence[UsageRow]) -> None:
        try:
            await self._put(batch)
        except _UNWRITABLE as exc:
            if len(batch) == 1:
                _LOG.critical("usage row lost", permit=batch[0].id, kind=type(exc).__name__)
                self._companions.pop(batch[0].id, None)
                return

            # One bad row must not hold up the others, now and for ever.
            half = len(batch) // 2
            await self._write(batch[:half])
            await self._write(batch[half:])

    async def _put(self, batch: Sequence[UsageRow]) -> None:
        usage, held = self._store.usage, self._companions

        if not held:
            await usage.add_many(batch)
            return

        companions = [held[row.id] for row in batch if row.id in held]
        is_again, self._is_again = self._is_again, True
        # Whatever interrupts this may come after the commit.
        await usage.add_many(batch, companions, again=is_again)
        self._is_again = False

        for companion in companions:
            del held[companion.id]

        for sums in sums_of(one.spends for one in companions if one.spends is not None).values():
            self.on_spent(sums)

        if any(companion.event is not None for companion in companions):
            self.on_event()

    def _report(self, exc: Exception) -> None:
        if not self._is_failing:
            _LOG.error("usage not written, kept for the next try", kind=type(exc).__name__)

        self._is_failing = True


def _ignore(sums: Mapping[SpendKey, Pair]) -> None:
    del sums


def _nothing() -> None:
    return
