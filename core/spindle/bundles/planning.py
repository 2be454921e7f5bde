"""What a bundle would change: drafted record by record, so that every fault is told at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spindle.bundles.document import SECTIONS, Item
from spindle.bundles.order import cycles_of, in_order
from spindle.catalog.access import default_holding, may_change
from spindle.catalog.bodies import SECRETS, Governance, read_body
from spindle.catalog.draft import API, CONFIG, Change
from spindle.catalog.editing import Edit
from spindle.catalog.kinds import KINDS, body_of
from spindle.config.faults import Fault, Path
from spindle_spi.errors import GatewayError
from spindle_spi.policy import Action
from spindle_spi.records import CatalogRecord, Kind
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from spindle.bundles.document import Bundle
    from spindle.catalog.draft import Draft
    from spindle.store.catalog import Contents, OverrideRow
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import Json


@dataclass(slots=True, kw_only=True)
class Planned:
    """One change: what is asked for, and what it makes of a record."""

    edit: Edit
    change: Change
    path: Path
    before: JsonObject | None
    """As a bundle says it; None where there was none."""
    after: JsonObject | None


@dataclass(slots=True, kw_only=True)
class Plan:
    """Everything a bundle would change, and everything that is wrong with it."""

    planned: list[Planned] = field(default_factory=list[Planned])
    faults: list[Fault] = field(default_factory=list[Fault])
    notes: list[Fault] = field(default_factory=list[Fault])
    unchanged: int = 0


class Planner:
    """Drafts one bundle for one caller."""

    def __init__(
        self,
        context: AuthenticatedContext,
        draft: Draft,
        contents: Contents,
        *,
        is_production: bool,
    ) -> None:
        self._context = context
        self._draft = draft
        self._rows = {(row.kind, row.name): row for row in contents.overrides}
        self._visibility = default_holding(context, is_production=is_production)
        self._plan = Plan()
        self._failed: set[str] = set()
        self._known: dict[Kind, dict[str, CatalogRecord]] = {}
        """As it was before the bundle."""

    def plan(self, bundle: Bundle, *, prune: bool) -> Plan:
        """Return what the bundle changes; with `prune`, what it does not name is deleted."""
        self._plan.faults += bundle.faults
        known = {record.name: record for record in self._draft.known(Kind.MODEL)}
        cyclic = cycles_of(bundle.items, known)
        self._plan.faults += cyclic.faults

        for item in in_order(bundle.items):
            if item.path not in cyclic.paths:
                self._take(item)

        # What is deleted may have been needed by what is changed.
        if prune and not self._plan.faults:
            self._prune({(item.kind, item.name) for item in bundle.items if not item.is_published})

        return self._plan

    def delete_all(self, gone: Collection[tuple[Kind, str]]) -> Plan:
        """Add deletions, those first that need others; what is gone already is left out."""
        for section, kind in reversed(SECTIONS.items()):
            found = [r for r in self._draft.known(kind) if (kind, r.name) in gone]

            for record in _last_first(found):
                path = (section, record.name)

                try:
                    self._delete(record, path)
                except GatewayError as exc:
                    self._plan.faults.append(Fault(path=path, problem=exc.message.rstrip(".")))

        return self._plan

    def _take(self, item: Item) -> None:
        try:
            if item.is_published:
                self._want(item)
            else:
                self._set(item)
        except GatewayError as exc:
            # What is missing because it is faulty itself has been told.
            if exc.code != "core.reference.unknown" or not self._follows(exc.message):
                self._plan.faults.append(Fault(path=item.path, problem=exc.message.rstrip(".")))

            self._failed.add(item.name)

    def _follows(self, message: str) -> bool:
        return any(repr(name) in message for name in self._failed)

    def _set(self, item: Item) -> None:
        rules = KINDS[item.kind]
        assert rules.body is not None
        body = read_body(rules.body, item.body)
        before = self._own(item)

        if before is None:
            self._draft.create(item.kind, item.body)

            if item.has_secret:
                problem = "is made without its key, which is not in the document: set it afterwards"
                self._plan.notes.append(Fault(path=item.path, problem=problem))

            edit = Edit(action=Action.CREATE, kind=item.kind, data=item.body)
            self._keep(edit, item.path, self._draft.changes[-1])
            return

        changes = patch_of(_whole(before), self._wanted(body))

        for key in rules.identity:
            changes.pop(key, None)

        self._change(item, before, changes, before.epoch)

    def _want(self, item: Item) -> None:
        body = read_body(Governance, item.body)
        row = self._rows.get((item.kind, item.name))
        wanted: JsonObject = json.loads(body.model_dump_json(exclude_none=True))
        changes = patch_of({} if row is None else dict(row.wanted), wanted)

        if not changes:
            # Also where the record is not published at the moment.
            self._plan.unchanged += 1
            return

        before = self._draft.find(item.kind, item.name)
        self._change(item, before, changes, _epoch_of(row, before))

    def _change(self, item: Item, before: CatalogRecord, changes: JsonObject, epoch: int) -> None:
        if not changes:
            self._plan.unchanged += 1
            return

        self._draft.update(item.kind, before.id, changes)
        change = self._draft.changes[-1]

        if change.before == change.after:
            self._plan.unchanged += 1
            return

        edit = Edit(
            action=Action.UPDATE, kind=item.kind, name=before.id, data=changes, expected={epoch}
        )
        self._keep(edit, item.path, change, row=self._rows.get((item.kind, item.name)))

    def _keep(self, edit: Edit, path: Path, change: Change, row: OverrideRow | None = None) -> None:
        before: JsonObject | None
        after: JsonObject | None

        if len(path) > 2:
            # Of a published record only what is wanted of it is said here.
            before = {} if row is None else dict(row.wanted)
            after = _merged_wanted(before, edit.data)
        else:
            before = None if change.before is None else _whole(change.before)
            after = None if change.after is None else _whole(change.after)

        self._plan.planned.append(
            Planned(edit=edit, change=change, path=path, before=before, after=after)
        )

    def _prune(self, named: set[tuple[Kind, str]]) -> None:
        self.delete_all(
            {
                (kind, record.name)
                for kind in SECTIONS.values()
                for record in self._draft.known(kind)
                if record.origin == API
                and (kind, record.name) not in named
                and may_change(self._context, record, Action.DELETE)
            }
        )

    def _delete(self, record: CatalogRecord, path: Path) -> None:
        self._draft.delete(record.kind, record.id)
        edit = Edit(action=Action.DELETE, kind=record.kind, name=record.id, expected={record.epoch})
        self._keep(edit, path, self._draft.changes[-1])

    def _own(self, item: Item) -> CatalogRecord | None:
        """Return the stored record of a name, if there is one that the caller knows of."""
        if item.kind not in self._known:
            # Who names what an upstream publishes makes a record of their own in its place.
            self._known[item.kind] = {
                record.name: record
                for record in self._draft.known(item.kind)
                if record.origin in (API, CONFIG)
            }

        return self._known[item.kind].get(item.name)

    def _wanted(self, body: Governance) -> JsonObject:
        data: JsonObject = json.loads(body.model_dump_json(exclude=set(SECRETS)))
        given = {key: value for key, value in data.items() if value is not None}
        return {
            "description": "",
            "visibility": self._visibility.value,
            "enabled": True,
            "tags": [],
            **given,
        }


def patch_of(before: JsonObject, after: JsonObject) -> JsonObject:
    """Return the merge patch (RFC 7396) that makes one object of the other."""
    patch: JsonObject = {key: None for key in before if key not in after}

    for key, value in after.items():
        old = before.get(key)

        if isinstance(old, dict) and isinstance(value, dict):
            inner = patch_of(old, value)

            if inner:
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value

    return patch


def _whole(record: CatalogRecord) -> JsonObject:
    return {key: value for key, value in body_of(record).items() if value is not None}


def _merged_wanted(before: JsonObject, changes: JsonObject) -> JsonObject:
    merged: dict[str, Json] = {**before, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def _epoch_of(row: OverrideRow | None, record: CatalogRecord) -> int:
    return 0 if row is None or row.source != record.origin else row.epoch


def _last_first(records: list[CatalogRecord]) -> Iterator[CatalogRecord]:
    """Yield records so that those come first which refer to others of their kind."""
    items = [Item(kind=record.kind, name=record.name, body=body_of(record)) for record in records]
    by_name = {record.name: record for record in records}

    for item in reversed(in_order(items)):
        yield by_name[item.name]
