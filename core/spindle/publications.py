"""What modules discovered, and the records it makes under what their sources look like now.

Nothing published outlives its source or keeps a visibility its source has lost: everything is
placed again at every swap of the snapshot. Not kept over a restart; modules discover again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias
from uuid import NAMESPACE_URL, uuid5

from spindle_spi.errors import Conflict, InvalidArgument
from spindle_spi.records import (
    SPEC_OF,
    CatalogRecord,
    Kind,
    PublishedRecord,
    ToolSpec,
    Visibility,
    backend_name,
    secrets_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spindle.config import ToolOverride
    from spindle.snapshot import Snapshot

_Given: TypeAlias = tuple[str | None, str | None, Visibility, bool]
"""Owner, team, visibility and whether it is switched on: what a source passes on."""

Wanted: TypeAlias = "Mapping[tuple[Kind, str, str], ToolOverride]"
"""Stored overrides by kind, name and source."""

_SOURCE_KINDS = {kind.value: kind for kind in (Kind.PROVIDER, Kind.GATEWAY)}
_MAX_RECORDS = 50_000
"""Records one source may publish."""
_MAX_NAME = 1024


@dataclass(slots=True)
class _Source:
    """What one source published, and what became of it last time."""

    module: str
    records: tuple[PublishedRecord, ...]
    shown: dict[str, CatalogRecord]
    """By id."""
    given: _Given | None = None
    """What of the source's record went into `shown`; None: to be placed again."""


class Publications:
    """The published records by source."""

    def __init__(self, overrides: Mapping[tuple[str, str], ToolOverride]) -> None:
        self._overrides = overrides
        self._wanted: Wanted = {}
        self._sources: dict[str, _Source] = {}
        # An epoch never comes back, not even that of a record that was gone in between; and it
        # is never that of a stored record, which counts from one.
        self._epoch = time.time_ns() // 1000

    def configure(self, overrides: Mapping[tuple[str, str], ToolOverride]) -> None:
        """Take other overrides; `place` shows them."""
        self._overrides = overrides

        for source in self._sources.values():
            source.given = None

    def put(
        self, current: Snapshot, module: str, source: str, records: Sequence[PublishedRecord]
    ) -> None:
        """Replace what a source discovered; `place` shows it.

        Raises:
            InvalidArgument: The source is not this module's, or a record is none of the source's.
            Conflict: A name belongs to another source.
        """
        _check_source(current, module, source)
        known = self._sources.get(source)
        had = {(r.kind, r.name) for r in known.records} if known is not None else set[object]()
        fresh: dict[tuple[Kind, str], PublishedRecord] = {}

        for record in records:
            key = (record.kind, record.name)
            _check_record(current, module, source, record)

            if fresh.setdefault(key, record) != record:
                raise InvalidArgument(f"{source} gives the {_said(record)} twice.")

            if key not in had:
                # What came up after this source had the name merely stands in front of it.
                _refuse_taken(current, source, record)

        if len(fresh) > _MAX_RECORDS:
            raise InvalidArgument(f"{source} publishes more than {_MAX_RECORDS} records.")

        if fresh:
            shown = {} if known is None else known.shown
            self._sources[source] = _Source(module, tuple(fresh.values()), shown)
        else:
            self._sources.pop(source, None)

    def want(self, wanted: Wanted) -> None:
        """Put stored overrides in force; `place` shows what they change."""
        if wanted != self._wanted:
            self._wanted = wanted

            for source in self._sources.values():
                source.given = None

    def place(self, base: Iterable[CatalogRecord]) -> list[CatalogRecord]:
        """Return the records of every source that is (still) there, beside those of `base`."""
        names = {(record.kind, record.name): record for record in base}
        placed: list[CatalogRecord] = []

        for name, source in tuple(self._sources.items()):
            is_own = name == source.module
            template = None if is_own else names.get(_source_key(name))

            if not is_own and (template is None or template.module != source.module):
                # Gone with its source; whoever brings the source back discovers again.
                del self._sources[name]
                continue

            # A stored record wins over a published one: people over discovery.
            placed.extend(
                record
                for record in self._shown(name, source, template)
                if names.setdefault((record.kind, record.name), record) is record
            )

        return placed

    def _shown(
        self, name: str, source: _Source, template: CatalogRecord | None
    ) -> Iterable[CatalogRecord]:
        given = _given_by(template)

        if source.given != given:
            self._epoch += 1
            before = source.shown
            fresh = (self._place(name, source.module, given, each) for each in source.records)
            source.shown = {each.id: self._dated(before.get(each.id), each) for each in fresh}
            source.given = given

        return source.shown.values()

    def _place(
        self, source: str, module: str, given: _Given, record: PublishedRecord
    ) -> CatalogRecord:
        owner, team, visibility, enabled = given
        placed = CatalogRecord(
            id=str(uuid5(NAMESPACE_URL, f"spindle:{record.kind.value}:{record.name}")),
            kind=record.kind,
            name=record.name,
            spec=record.spec,
            module=module,
            description=record.description,
            owner=owner,
            team=team,
            visibility=visibility,
            enabled=enabled,
            origin=source,
            tags=record.tags,
        )
        spec = record.spec
        stored = self._wanted.get((record.kind, record.name, source))
        configured = (
            self._overrides.get((spec.gateway, spec.upstream_name))
            if isinstance(spec, ToolSpec) and spec.gateway is not None
            else None
        )

        if stored is None and configured is None:
            return placed

        wanted = placed if stored is None else stored.apply(placed)
        # The configuration is applied last: what it says of a field holds.
        wanted = wanted if configured is None else configured.apply(wanted)
        # What is switched off takes its tools along, whatever is said about one of them.
        return wanted if enabled or not wanted.enabled else replace(wanted, enabled=False)

    def _dated(self, before: CatalogRecord | None, record: CatalogRecord) -> CatalogRecord:
        if before is not None and replace(record, epoch=before.epoch) == before:
            return before

        return replace(record, epoch=self._epoch)


def _given_by(template: CatalogRecord | None) -> _Given:
    if template is None:
        return None, None, Visibility.PRIVATE, True

    return template.owner, template.team, template.visibility, template.enabled


def _source_key(source: str) -> tuple[Kind, str]:
    """Split a source into kind and name.

    Raises:
        InvalidArgument: It names no provider or gateway.
    """
    kind, _, name = source.partition(":")

    if kind not in _SOURCE_KINDS:
        raise InvalidArgument(f"{source!r} names no provider or gateway.")

    return _SOURCE_KINDS[kind], name


def _check_source(current: Snapshot, module: str, source: str) -> None:
    if source == module:
        return

    record = current.by_name.get(_source_key(source))

    if record is None or record.module != module:
        raise InvalidArgument(f"{source!r} is not a source of the module {module}.")


def _check_record(current: Snapshot, module: str, source: str, record: PublishedRecord) -> None:
    """Refuse what would speak for somebody else, or could not be shown.

    Raises:
        InvalidArgument: It would, or could not.
    """
    spec = record.spec
    kind = record.kind

    if not isinstance(spec, SPEC_OF[kind]) or kind is Kind.SERVER:
        raise InvalidArgument(f"The {_said(record)} of {source} cannot be published.")

    if not record.name or len(record.name) > _MAX_NAME or not _is_text(record.name):
        raise InvalidArgument(f"The {_said(record)} of {source} has a name that is no name.")

    if secrets_of(spec):
        # Who refers to a secret may read it: that is the operator's to say.
        raise InvalidArgument(f"The {_said(record)} of {source} refers to a secret.")

    backend = backend_name(spec)

    if backend is None:
        return

    if source != module:
        is_own = backend == _source_key(source)
    else:
        serving = current.by_name.get(backend)
        is_own = serving is not None and serving.module == module

    if not is_own:
        raise InvalidArgument(f"The {_said(record)} is not of the source {source}.")


def _refuse_taken(current: Snapshot, source: str, record: PublishedRecord) -> None:
    taken = current.by_name.get((record.kind, record.name))

    if taken is not None and taken.origin != source:
        raise Conflict(f"The {_said(record)} of {source} is also given by {taken.origin}.")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False

    return True


def _said(record: PublishedRecord) -> str:
    return f"{record.kind.value} {record.name[:_MAX_NAME]!r}"
