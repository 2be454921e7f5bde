"""The immutable picture of catalog and credentials the request path decides on.

Compiled from the store and from what modules published; swapped whole, never changed. Resolving
and deciding never touch the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spindle.credentials import Credential
from spindle.people import NOBODY, People, credential_of_token
from spindle_spi.policy import visible
from spindle_spi.records import (
    CatalogRecord,
    Kind,
    ServerSpec,
    Target,
    backend_name,
    is_shown_by,
    other_names,
    with_toolsets,
)

if TYPE_CHECKING:
    from spindle.store import TokenRow
    from spindle_spi.context import AuthenticatedContext

_MAX_VIEWS = 4096
"""Distinct views kept per snapshot; beyond it they are computed again."""


@dataclass(frozen=True, slots=True)
class View:
    """What one class of callers sees: records by kind in name order, and a key for equality."""

    records: Mapping[Kind, tuple[CatalogRecord, ...]]
    keys: Mapping[Kind, str]
    key: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One consistent state. Build it with `compile_snapshot`."""

    revision: int
    by_kind: Mapping[Kind, tuple[CatalogRecord, ...]]
    by_id: Mapping[str, CatalogRecord]
    by_name: Mapping[tuple[Kind, str], CatalogRecord]
    aliases: Mapping[tuple[Kind, str], tuple[CatalogRecord, ...]]
    """Other words for records, several records to a word, in name order."""
    credentials: Mapping[str, Credential]
    """By the token's hash."""
    epochs: Mapping[str, int]
    """Epoch of every token that is not revoked, and whose person is enabled, by token id."""
    expiries: Mapping[str, float]
    """When credentials end that end by themselves, by token id."""
    people: People
    _views: dict[tuple[object, ...], View] = field(default_factory=dict[tuple[object, ...], View])

    def see(self, context: AuthenticatedContext, target: Target) -> CatalogRecord | None:
        """Return the record a target names if this caller may know of it.

        A name beats an alias, but only one the caller sees: what is hidden shadows nothing.
        """
        if target.by_id:
            record = self.by_id.get(target.name)

            if record is None or record.kind is not target.kind:
                return None

            return record if visible(context, record) else None

        key = (target.kind, target.name)
        record = self.by_name.get(key)

        if record is not None and visible(context, record):
            return record

        for record in self.aliases.get(key, ()):
            if visible(context, record):
                return record

        return None

    def backend_of(self, record: CatalogRecord) -> CatalogRecord | None:
        """Return what serves a record: a model's provider, a tool's gateway."""
        source = backend_name(record.spec)
        return None if source is None else self.by_name.get(source)

    def view(self, context: AuthenticatedContext) -> View:
        """Return everything this caller sees."""
        subject, server_id = context.subject, context.visibility_scope.server_id
        key = (subject.is_admin, subject.token_teams, subject.user_email, server_id)
        view = self._views.get(key)

        if view is None:
            if len(self._views) >= _MAX_VIEWS:
                self._views.clear()

            view = self._views[key] = _compile_view(self.by_kind, context)

        return view

    def cached_views(self) -> int:
        """Return how many views are kept."""
        return len(self._views)


def compile_snapshot(
    revision: int,
    records: Iterable[CatalogRecord],
    tokens: Iterable[TokenRow],
    people: People = NOBODY,
) -> Snapshot:
    """Derive the look-up tables and the servers each record belongs to."""
    placed = _with_servers(tuple(records))
    by_kind: dict[Kind, tuple[CatalogRecord, ...]] = {
        kind: tuple(
            sorted((record for record in placed if record.kind is kind), key=lambda r: r.name)
        )
        for kind in Kind
    }
    ordered = [record for kind in Kind for record in by_kind[kind]]
    live = [
        (token.hash, credential)
        for token in tokens
        if token.revoked_at is None
        and (credential := credential_of_token(token, people)) is not None
    ]
    subjects = [credential.subject for _, credential in live]
    return Snapshot(
        revision=revision,
        by_kind=by_kind,
        by_id={record.id: record for record in placed},
        by_name={(record.kind, record.name): record for record in ordered},
        aliases=_aliases(ordered),
        credentials=dict(live),
        epochs={subject.token_id: subject.token_epoch for subject in subjects if subject.token_id},
        expiries={
            credential.subject.token_id: credential.expires_at
            for _, credential in live
            if credential.expires_at is not None and credential.subject.token_id
        },
        people=people,
    )


def _aliases(
    records: Iterable[CatalogRecord],
) -> dict[tuple[Kind, str], tuple[CatalogRecord, ...]]:
    aliases: dict[tuple[Kind, str], tuple[CatalogRecord, ...]] = {}

    for record in records:
        for word in other_names(record.spec):
            key = (record.kind, word)
            aliases[key] = (*aliases.get(key, ()), record)

    return aliases


def _with_servers(records: tuple[CatalogRecord, ...]) -> list[CatalogRecord]:
    toolsets = {record.name: record for record in records if record.kind is Kind.TOOLSET}
    servers = [
        (record.id, with_toolsets(record.spec, toolsets))
        for record in records
        if isinstance(record.spec, ServerSpec)
    ]
    placed: list[CatalogRecord] = []

    for record in records:
        ids = tuple(sorted(sid for sid, spec in servers if is_shown_by(spec, record)))
        # Most compilations change nothing here, and a copy of every record would be the dear part.
        placed.append(record if record.server_ids == ids else replace(record, server_ids=ids))

    return placed


def _compile_view(
    by_kind: Mapping[Kind, tuple[CatalogRecord, ...]], context: AuthenticatedContext
) -> View:
    seen = {
        kind: tuple(record for record in records if visible(context, record))
        for kind, records in by_kind.items()
    }
    keys = {kind: _digest(records) for kind, records in seen.items()}
    return View(records=seen, keys=keys, key=_joined(keys.values()))


def _digest(records: Iterable[CatalogRecord]) -> str:
    return _joined(f"{record.id}@{record.epoch}" for record in records)


def _joined(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()
