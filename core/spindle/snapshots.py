"""Keeps the snapshot current: the store's revision is polled, published records are merged in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import anyio
import structlog
from sqlalchemy.exc import SQLAlchemyError

from spindle.catalog.authors import Authors
from spindle.catalog.overrides import StoredOverrides
from spindle.people import NOBODY, compile_people
from spindle.pinning import Pinning
from spindle.publications import Publications
from spindle.snapshot import Snapshot, compile_snapshot
from spindle_spi.catalog import ChangeKind, RecordChange
from spindle_spi.errors import GatewayError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from spindle.changes import Listener
    from spindle.config import ToolOverride
    from spindle.config.catalog import OnChange
    from spindle.pinning import Judged
    from spindle.store import Store, TokenRow
    from spindle_spi.records import CatalogRecord, LeftOut, PublishedRecord

_LOG = structlog.get_logger("spindle.snapshots")

_UNREADABLE = (OSError, SQLAlchemyError, GatewayError, ValueError)
"""The store is away, or holds what this version cannot read (another replica is newer)."""


class Follower(Protocol):
    """Somebody else who keeps a picture of the store in memory and changes it with the snapshot."""

    async def read(self) -> Callable[[], None]:
        """Read the store; return what puts the new picture in force, at once and without fail."""
        ...


class Snapshots:
    """Holds the current snapshot; everybody reads `current`, nobody keeps it over an await."""

    def __init__(
        self,
        store: Store,
        *,
        overrides: Mapping[tuple[str, str], ToolOverride],
        poll_seconds: float,
        on_change: OnChange = "warn",
    ) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._stored: tuple[CatalogRecord, ...] = ()
        self._tokens: tuple[TokenRow, ...] = ()
        self._people = NOBODY
        self.pinning = Pinning(store, on_change)
        self._published = Publications(overrides, self.pinning)
        self._ephemeral: dict[str, CatalogRecord] = {}
        self._listeners: list[Listener] = []
        self._refreshing = anyio.Lock()
        self._woken = anyio.Event()
        self.overrides = StoredOverrides(store, self._published)
        self.authors = Authors(store)
        self.followers: list[Follower] = [self.overrides, self.authors, self.pinning]
        """Read with every refresh: before the first one, whoever follows is in here."""
        self.current: Snapshot = compile_snapshot(-1, (), ())

    async def refresh(self) -> None:
        """Read the store again and swap the snapshot."""
        # One at a time: who read first must not swap last.
        async with self._refreshing:
            (await self._read())()

    async def catch_up(self) -> None:
        """Compare the store's revision with the snapshot's, and read the store when it has moved.

        Raises:
            Unavailable: The store cannot be read.
        """
        try:
            if await self._store.revision() != self.current.revision:
                await self.refresh()
        except (OSError, SQLAlchemyError) as exc:
            raise Unavailable(
                "The store cannot be reached; try again.",
                code="core.store.unavailable",
                retry_after=1.0,
            ) from exc

    async def change(self, write: Callable[[], Awaitable[object]], put: Callable[[], None]) -> None:
        """Write to the store, then put something in force in one step with what was written.

        When the write fails nothing is put. When the store goes away right after the write, it is
        put alone, and the written part follows with the next poll.
        """
        async with self._refreshing:
            await write()

            def swap() -> None:
                self._swap(self.current.revision)

            try:
                swap = await self._read()
            except _UNREADABLE as exc:
                _LOG.error("store not read after a change", kind=type(exc).__name__)

            put()
            swap()

    def configure(self, overrides: Mapping[tuple[str, str], ToolOverride]) -> None:
        """Take other overrides of published records; in force with the next swap."""
        self._published.configure(overrides)

    def wake(self) -> None:
        """Look at the store now: somebody heard of a change."""
        self._woken.set()

    async def _read(self) -> Callable[[], None]:
        """Read the store; return what puts it in force."""
        # The revision is read first: a write in between is picked up by the next poll.
        revision = await self._store.revision()
        stored = tuple(await self._store.catalog.all())
        tokens = tuple(await self._store.tokens.all())
        people = compile_people(await self._store.users.everybody())
        puts = [await follower.read() for follower in self.followers]

        def swap() -> None:
            self._stored, self._tokens, self._people = stored, tokens, people

            for put in puts:
                put()

            self._swap(revision)

        return swap

    async def run(self) -> None:
        """Follow the store until cancelled; what another process writes is seen in a poll.

        While the store cannot be read the last snapshot stays.
        """
        is_failing = False

        while True:
            with anyio.move_on_after(self._poll_seconds):
                await self._woken.wait()

            self._woken = anyio.Event()

            try:
                if await self._store.revision() != self.current.revision:
                    await self.refresh()
            except _UNREADABLE as exc:
                if not is_failing:
                    _LOG.error("store not read, trying again", kind=type(exc).__name__)

                is_failing = True
            else:
                if is_failing:
                    _LOG.info("store read again")

                is_failing = False
                await self.pin()

    def publish(
        self,
        module: str,
        source: str,
        records: Sequence[PublishedRecord],
        left_out: Sequence[LeftOut] = (),
        digests: Sequence[str] | None = None,
    ) -> None:
        """Replace what a source discovered; refused, everything stays as it was.

        What has not been seen before is served now and pinned by `pin`.

        Raises:
            InvalidArgument: The source is not this module's, or a record is none of the source's.
            Conflict: A name belongs to another source.
        """
        self._published.put(self.current, module, source, records, left_out, digests)
        self._swap(self.current.revision)

    async def pin(self) -> None:
        """Write down the definitions that were seen first; without a store it is tried again."""
        seen = self._published.unpinned()

        if not seen:
            return

        offered = {source: self._published.offered(source) for source in seen}

        try:
            await self.pinning.pin(seen, offered)
            # What another process pinned in the same moment is judged by, too.
            await self.refresh()
        except _UNREADABLE as exc:
            _LOG.error("definitions not pinned, trying again", kind=type(exc).__name__)

    def left_out(self, source: str) -> tuple[LeftOut, ...]:
        """Return what a source offers that is no record, or not for everybody."""
        return self._published.left_out(source)

    def judged(self, source: str) -> Judged:
        """Return what became of the definitions of a source."""
        return self._published.judged(source)

    def add_ephemeral(self, record: CatalogRecord) -> None:
        """Show a record that lives in this process only."""
        self._ephemeral[record.id] = record
        self._swap(self.current.revision)

    def remove_ephemeral(self, record_id: str) -> None:
        """Take back what `add_ephemeral` showed, and what it published. Idempotent."""
        if self._ephemeral.pop(record_id, None) is not None:
            self._swap(self.current.revision)

    def count_ephemeral(self) -> int:
        """Return how many records live in this process only."""
        return len(self._ephemeral)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every set of changes; returns how to stop that. Idempotent."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def _swap(self, revision: int) -> None:
        base = [*self._stored, *self._ephemeral.values()]
        before = self.current
        self.current = compile_snapshot(
            revision, [*base, *self._published.place(base)], self._tokens, self._people
        )
        changes = tuple(_changes(before, self.current))

        if changes:
            for listener in tuple(self._listeners):
                listener(changes)


def _changes(before: Snapshot, after: Snapshot) -> Iterable[RecordChange]:
    for identity, record in after.by_id.items():
        old = before.by_id.get(identity)

        if old is None:
            yield RecordChange(change=ChangeKind.ADDED, record=record)
        elif old is not record and old != record:
            yield RecordChange(change=ChangeKind.UPDATED, record=record)

    for identity, record in before.by_id.items():
        if identity not in after.by_id:
            yield RecordChange(change=ChangeKind.REMOVED, record=record)
