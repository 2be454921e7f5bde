"""The records of a fake host: placed, seen, listed, published and watched as the core does it."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spindle_conformance.fakes.changes import FakeFeed
from spindle_spi.catalog import ChangeKind, RecordChange
from spindle_spi.errors import Conflict, InvalidArgument
from spindle_spi.policy import absent, visible
from spindle_spi.records import (
    SPEC_OF,
    CatalogRecord,
    Kind,
    PublishedRecord,
    ServerSpec,
    Target,
    Visibility,
    backend_name,
    is_shown_by,
    other_names,
    secrets_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from spindle_spi.context import AuthenticatedContext

_SOURCE_KINDS = {kind.value: kind for kind in (Kind.PROVIDER, Kind.GATEWAY)}


@dataclass(frozen=True, slots=True)
class _Source:
    module: str
    records: tuple[PublishedRecord, ...]


class FakeRecords:
    """What the host has, with what modules published; iterating gives all of it by name.

    As at the core, `server_ids` and `epoch` are derived: what a record says of them is replaced.
    """

    def __init__(self, records: Iterable[CatalogRecord] = ()) -> None:
        self._stored: dict[str, CatalogRecord] = {}
        self._sources: dict[str, _Source] = {}
        self._current: dict[str, CatalogRecord] = {}
        self._feeds: list[FakeFeed] = []
        self._epochs = itertools.count(1)
        self.add(*records)

    def __iter__(self) -> Iterator[CatalogRecord]:
        return iter(tuple(self._current.values()))

    def add(self, *records: CatalogRecord) -> None:
        """Add records, or replace those of the same ids; who subscribed is told.

        Raises:
            ValueError: Another record of its kind has a record's name.
        """
        stored = self._stored | {record.id: record for record in records}

        if len({(record.kind, record.name) for record in stored.values()}) != len(stored):
            raise ValueError("Two records of a kind have one name.")

        self._stored = stored
        self._compile()

    def remove(self, *records: CatalogRecord) -> None:
        """Remove stored records, by id, and with them what was published under them.

        Raises:
            KeyError: One of them is not stored here.
        """
        for record in records:
            del self._stored[record.id]

        self._compile()

    def discard(self, record_id: str) -> None:
        """Remove a stored record if it is there."""
        if self._stored.pop(record_id, None) is not None:
            self._compile()

    def clear(self) -> None:
        """Remove everything."""
        self.remove(*self._stored.values())

    def find(self, kind: Kind, name: str) -> CatalogRecord | None:
        """Return a record by its name, whoever may see it."""
        found = (one for one in self if one.kind is kind and one.name == name)
        return next(found, None)

    def backend_of(self, record: CatalogRecord) -> CatalogRecord | None:
        """Return what serves a record: a model's provider, a tool's gateway."""
        source = backend_name(record.spec)
        return None if source is None else self.find(*source)

    def listed(self, context: AuthenticatedContext, kind: Kind) -> tuple[CatalogRecord, ...]:
        """Return the records of a kind a caller sees, by name."""
        return tuple(one for one in self if one.kind is kind and visible(context, one))

    def view_key(self, context: AuthenticatedContext, kind: Kind | None = None) -> str:
        """Return a key equal exactly when two callers' lists are equal; None means all kinds."""
        kinds = tuple(Kind) if kind is None else (kind,)
        seen = (one for each in kinds for one in self.listed(context, each))
        said = "\n".join(f"{one.id}@{one.epoch}" for one in seen)
        return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()

    def see(self, context: AuthenticatedContext, target: Target) -> CatalogRecord | None:
        """Return the record a target names if this caller may know of it.

        A name beats an alias, but only one the caller sees: what is hidden shadows nothing.
        """
        shown = self.listed(context, target.kind)

        if target.by_id:
            return next((one for one in shown if one.id == target.name), None)

        named = (one for one in shown if one.name == target.name)
        aliased = (one for one in shown if target.name in other_names(one.spec))
        return next(itertools.chain(named, aliased), None)

    def seen(self, context: AuthenticatedContext, target: Target) -> CatalogRecord:
        """Return the record a target names.

        Raises:
            NotFound: Absent, or hidden from this caller: the answer is the same.
        """
        record = self.see(context, target)

        if record is None:
            raise absent(target)

        return record

    def feed(self, kinds: Sequence[Kind]) -> FakeFeed:
        """Return the changes of some kinds from now on."""
        feed = FakeFeed(frozenset(kinds))
        self._feeds.append(feed)
        return feed

    def publish(self, module: str, source: str, records: Sequence[PublishedRecord]) -> None:
        """Replace what a source discovered; refused, everything stays as it was.

        Raises:
            InvalidArgument: The source is not this module's, or a record is none of the source's.
            Conflict: A name belongs to another source.
        """
        if source != module:
            serving = self.find(*_source_key(source))

            if serving is None or serving.module != module:
                raise InvalidArgument(f"{source!r} is not a source of the module {module}.")

        for record in records:
            self._check(module, source, record)

        if records:
            self._sources[source] = _Source(module, tuple(records))
        else:
            self._sources.pop(source, None)

        self._compile()

    def _check(self, module: str, source: str, record: PublishedRecord) -> None:
        spec, said = record.spec, f"{record.kind.value} {record.name!r}"

        if not isinstance(spec, SPEC_OF[record.kind]) or record.kind is Kind.SERVER:
            raise InvalidArgument(f"The {said} of {source} cannot be published.")

        if not record.name:
            raise InvalidArgument(f"The {said} of {source} has a name that is no name.")

        if secrets_of(spec):
            raise InvalidArgument(f"The {said} of {source} refers to a secret.")

        backend = backend_name(spec)

        if backend is not None:
            serving = self.find(*backend)
            is_known = serving is not None and serving.module == module

            if not (is_known if source == module else backend == _source_key(source)):
                raise InvalidArgument(f"The {said} is not of the source {source}.")

        taken = self.find(record.kind, record.name)

        if taken is not None and taken.origin != source:
            raise Conflict(f"The {said} of {source} is also given by {taken.origin}.")

    def _compile(self) -> None:
        placed = [*self._stored.values(), *self._published()]
        servers = {one.id: one.spec for one in placed if isinstance(one.spec, ServerSpec)}
        before = self._current
        self._current = {}

        for record in sorted(placed, key=_by_name):
            ids = tuple(sorted(key for key, spec in servers.items() if is_shown_by(spec, record)))
            old = before.get(record.id)
            placed_now = replace(record, server_ids=ids, epoch=old.epoch if old else 0)

            if placed_now != old:
                placed_now = replace(placed_now, epoch=next(self._epochs))

            self._current[record.id] = placed_now

        changes = tuple(_changes(before, self._current))

        for feed in self._feeds:
            feed.take(changes)

    def _published(self) -> Iterator[CatalogRecord]:
        names = {(one.kind, one.name): one for one in self._stored.values()}

        for source, published in tuple(self._sources.items()):
            template: CatalogRecord | None = None

            if source != published.module:
                template = names.get(_source_key(source))

                # Gone with its source; whoever brings the source back discovers again.
                if template is None or template.module != published.module:
                    del self._sources[source]
                    continue

            for record in published.records:
                placed = _placed(source, published.module, template, record)

                # A stored record wins over a published one: people over discovery.
                if names.setdefault((record.kind, record.name), placed) is placed:
                    yield placed


def _by_name(record: CatalogRecord) -> str:
    return record.name


def _source_key(source: str) -> tuple[Kind, str]:
    kind, _, name = source.partition(":")

    if kind not in _SOURCE_KINDS:
        raise InvalidArgument(f"{source!r} names no provider or gateway.")

    return _SOURCE_KINDS[kind], name


def _placed(
    source: str, module: str, template: CatalogRecord | None, record: PublishedRecord
) -> CatalogRecord:
    return CatalogRecord(
        id=f"{record.kind.value}:{record.name}",
        kind=record.kind,
        name=record.name,
        spec=record.spec,
        module=module,
        description=record.description,
        owner=None if template is None else template.owner,
        team=None if template is None else template.team,
        visibility=Visibility.PRIVATE if template is None else template.visibility,
        enabled=template is None or template.enabled,
        origin=source,
        tags=record.tags,
    )


def _changes(
    before: dict[str, CatalogRecord], after: dict[str, CatalogRecord]
) -> Iterator[RecordChange]:
    for identity, record in after.items():
        old = before.get(identity)

        if old is None:
            yield RecordChange(change=ChangeKind.ADDED, record=record)
        elif old != record:
            yield RecordChange(change=ChangeKind.UPDATED, record=record)

    for identity, record in before.items():
        if identity not in after:
            yield RecordChange(change=ChangeKind.REMOVED, record=record)
