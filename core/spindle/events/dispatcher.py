"""Takes events out of the outbox and publishes them: in order, at least once, never in a hurry."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Protocol

import anyio
import structlog

from spindle_spi.errors import Unavailable

if TYPE_CHECKING:
    from spindle.config.events import EventSettings
    from spindle.events.bus import Bus
    from spindle.events.completed import Completions
    from spindle.store import Store
    from spindle.store.rows import OutboxRow

_LOG = structlog.get_logger("spindle.events")

_BATCH = 200
_CLAIM_SECONDS = 30.0
_POLL_SECONDS = 1.0
"""How soon what another process left behind is found."""
_SHORTEST_WAIT, _LONGEST_WAIT = 0.25, 30.0
_PRUNE_SECONDS = 60.0
_LAST_SECONDS = 2.0
"""What a stop waits for events on their way."""


class Publisher(Protocol):
    """Where events go."""

    async def publish(self, event: OutboxRow) -> None:
        """Hand one over; it returns when the receiver has it.

        Raises:
            Unavailable: It has not, or nobody knows.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


class Nowhere:
    """A publisher that leaves it at the subscribers of this process."""

    async def publish(self, event: OutboxRow) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class Dispatcher:
    """Publishes what is in the outbox. Rows are claimed, so that several processes share it."""

    def __init__(
        self,
        settings: EventSettings,
        store: Store,
        publisher: Publisher,
        bus: Bus,
        completions: Completions,
    ) -> None:
        self.bus = bus
        self.completions = completions
        self._outbox = store.outbox
        self._publisher = publisher
        self._keep_seconds = settings.keep_hours * 3600
        self._process = secrets.token_hex(8)
        self._wanted = anyio.Event()
        self._wait = _SHORTEST_WAIT
        self._is_failing = False
        self._prune_at = time.monotonic()

    def wake(self) -> None:
        """Say that there is something new."""
        self._wanted.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            if await self.publish_waiting():
                self._wait = _SHORTEST_WAIT

                with anyio.move_on_after(_POLL_SECONDS):
                    await self._wanted.wait()

                self._wanted = anyio.Event()
            else:
                # Without looking at who wakes: a failing receiver is not asked more often.
                await anyio.sleep(self._wait)
                self._wait = min(self._wait * 2, _LONGEST_WAIT)

    async def publish_waiting(self) -> bool:
        """Publish everything there is; False when something is in the way. What is not out stays.

        Events stay in order: the first that fails ends the try.
        """
        try:
            await self._prune()

            while rows := await self._outbox.claim(
                self._process, seconds=_CLAIM_SECONDS, most=_BATCH
            ):
                await self._publish(rows)
        except Unavailable as exc:
            if not self._is_failing:
                _LOG.error("events not published, trying again", reason=exc.code)

            self._is_failing = True
            return False

        if self._is_failing:
            _LOG.info("events published again")

        self._is_failing = False
        return True

    async def close(self) -> None:
        """Publish what is left, for a moment; the next start finds the rest."""
        with anyio.move_on_after(_LAST_SECONDS):
            await self.publish_waiting()

        with anyio.move_on_after(_LAST_SECONDS):
            await self._publisher.close()

    async def _publish(self, rows: tuple[OutboxRow, ...]) -> None:
        done: list[str] = []
        ends_at = time.monotonic() + _CLAIM_SECONDS / 2

        try:
            for row in rows:
                if time.monotonic() >= ends_at:
                    # The claim must not run out while we go on.
                    break

                await self._publisher.publish(row)
                self.bus.hand_out(row)
                done.append(row.id)
        finally:
            with anyio.CancelScope(shield=True):
                await self._outbox.remove(done)

                if len(done) < len(rows):
                    await self._outbox.release(self._process)

    async def _prune(self) -> None:
        if time.monotonic() < self._prune_at:
            return

        self._prune_at = time.monotonic() + _PRUNE_SECONDS
        dropped = await self._outbox.drop_before(time.time() - self._keep_seconds)

        if dropped:
            _LOG.error("events dropped, never published", events=dropped)
