"""Bundles for one caller: export, plan, apply, and the way back."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spindle.audit import AuditEntry
from spindle.bundles.document import (
    PUBLISHED,
    PUBLISHED_SECTIONS,
    READ_ONLY,
    SECTIONS,
    VERSION,
    Bundle,
    bundle_of,
)
from spindle.bundles.exporting import exported
from spindle.bundles.planning import Plan, Planner
from spindle.catalog.access import is_platform, may_change, readable
from spindle.catalog.draft import API
from spindle.catalog.kinds import KINDS
from spindle.catalog.shown import shown
from spindle.config.faults import render_fault
from spindle.store.versions import VersionRow
from spindle_spi.errors import FailedPrecondition, InvalidArgument, NotFound
from spindle_spi.policy import Action, granted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle.audit import Audit
    from spindle.bundles.planning import Planned
    from spindle.catalog.draft import Draft
    from spindle.catalog.editing import CatalogEditor
    from spindle.store import Store
    from spindle.store.catalog import Contents
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import CatalogRecord, Kind
    from spindle_spi.types import Json, JsonObject

_MAX_FAULTS: Final = 50
_MAX_NOTE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a bundle is to be applied."""

    prune: bool = False
    """Delete what the caller may delete and the bundle does not name."""
    revision: str | None = None
    """The state of the catalog it was made for; None takes any."""
    note: str = ""


class Bundles:
    """Reads and changes the catalog as one document."""

    def __init__(
        self, *, store: Store, editor: CatalogEditor, audit: Audit, is_production: bool
    ) -> None:
        self._store = store
        self._editor = editor
        self._audit = audit
        self._is_production = is_production

    async def export(
        self, context: AuthenticatedContext, *, everything: bool = False
    ) -> JsonObject:
        """Return what a caller may change, as a bundle; with `everything`, what they see beside.

        Never a secret, only the names of references.
        """
        contents = await self._editor.contents()
        draft = self._editor.draft(context, contents)
        bundle: JsonObject = {"bundle": VERSION}
        rest: JsonObject = {}

        for section, kind in PUBLISHED_SECTIONS.items():
            seen = [r for r in draft.known(kind) if readable(context, r, _reading(kind))]
            own = {r.name: exported(r) for r in seen if _is_own(context, r)}

            if own and section in SECTIONS:
                bundle[section] = {**own}

            others = {r.name: shown(r, epoch=r.epoch) for r in seen if r.name not in own}

            if others and everything:
                rest[section] = {**others}

        wanted = _wanted_of_published(context, draft, contents)

        if wanted:
            bundle[PUBLISHED] = wanted

        if rest:
            bundle[READ_ONLY] = rest

        return bundle

    async def revision(self) -> str:
        """Return what an `apply` may name as the state it was made for."""
        return revision_of(await self._editor.contents())

    async def plan(
        self, context: AuthenticatedContext, bundle: Bundle, *, prune: bool = False
    ) -> tuple[Plan, str]:
        """Return what a bundle would change, its faults, and the state it was compared to."""
        contents = await self._editor.contents()
        plan = self._planner(context, contents).plan(bundle, prune=prune)
        return plan, revision_of(contents)

    async def apply(
        self, context: AuthenticatedContext, bundle: Bundle, wish: Wish
    ) -> tuple[Plan, VersionRow | None]:
        """Carry a bundle out as a whole; the version is None when nothing had to be changed.

        Raises:
            InvalidArgument: It has faults; names them all. Nothing is changed.
            FailedPrecondition: The catalog is in another state than the bundle was made for (412).
            GatewayError: A change is refused. Nothing is changed.
        """
        contents = await self._editor.contents()
        _check_revision(contents, wish.revision)
        plan = self._planner(context, contents).plan(bundle, prune=wish.prune)
        _check_plan(plan, bundle)
        return plan, await self._carry_out(context, plan, "apply", wish.note)

    async def versions(self, context: AuthenticatedContext) -> list[VersionRow]:
        """Return the versions a caller may know of, the newest first: their own, or all."""
        return [row for row in await self._store.versions.all() if _knows(context, row)]

    async def version(self, context: AuthenticatedContext, number: int) -> VersionRow:
        """Return one version.

        Raises:
            NotFound: There is none, or it is somebody else's.
        """
        for row in await self.versions(context):
            if row.id == number:
                return row

        raise NotFound(
            f"There is no version {number}; the list of versions names those there are.",
            code="core.version.not_found",
        )

    async def rollback(
        self, context: AuthenticatedContext, number: int, note: str = ""
    ) -> tuple[Plan, VersionRow | None]:
        """Put every record that this version and later ones touched back to what it was before.

        Only versions the caller may know of count.

        Raises:
            NotFound: There is no such version, or it is somebody else's.
            InvalidArgument: The way back has faults; names them all. Nothing is changed.
            GatewayError: A change is refused. Nothing is changed.
        """
        await self.version(context, number)
        # Those of others tell of records the caller may know nothing of.
        later = [row for row in await self.versions(context) if row.id >= number]
        bundle, gone = _before(later)
        contents = await self._editor.contents()
        planner = self._planner(context, contents)
        planner.plan(bundle, prune=False)
        plan = planner.delete_all(gone)
        _check_plan(plan, bundle)
        said = note or f"back to before version {number}"
        return plan, await self._carry_out(context, plan, "rollback", said)

    async def _carry_out(
        self, context: AuthenticatedContext, plan: Plan, action: str, note: str
    ) -> VersionRow | None:
        if not plan.planned:
            return None

        row = VersionRow(
            at=time.time(),
            actor=_actor(context),
            action=action,
            note=note[:_MAX_NOTE],
            before=_states(plan.planned, after=False),
            after=_states(plan.planned, after=True),
        )

        def finish(draft: Draft) -> None:
            draft.amendment.version = row
            entry = AuditEntry(
                action=f"config.{action}",
                target="catalog",
                reason=row.note,
                after={"changes": len(plan.planned)},
            )
            draft.amendment.audit.append(self._audit.row(context, entry))

        await self._editor.apply(context, [each.edit for each in plan.planned], finish)
        written = [found for found in await self._store.versions.all() if found.at == row.at]
        return written[0] if written else row

    def _planner(self, context: AuthenticatedContext, contents: Contents) -> Planner:
        draft = self._editor.draft(context, contents)
        return Planner(context, draft, contents, is_production=self._is_production)


def revision_of(contents: Contents) -> str:
    """Return a word for the state of the whole catalog."""
    records = (f"{record.id}@{record.epoch}" for record in contents.records)
    rows = (f"{row.kind.value}:{row.name}@{row.epoch}" for row in contents.overrides)
    return hashlib.blake2b("\n".join((*records, *rows)).encode(), digest_size=12).hexdigest()


def show_plan(plan: Plan, bundle: Bundle | None = None) -> JsonObject:
    """Return a plan as JSON; of an update only the fields that change."""
    places = {} if bundle is None else bundle.places
    changes: list[Json] = [
        {
            "action": each.edit.action.value,
            "kind": each.change.record.kind.value,
            "name": each.change.record.name,
            "before": _changed(each.before, each.after),
            "after": _changed(each.after, each.before),
        }
        for each in plan.planned
    ]
    faults: list[Json] = [render_fault(fault, places) for fault in plan.faults[:_MAX_FAULTS]]
    notes: list[Json] = [render_fault(note, places) for note in plan.notes[:_MAX_FAULTS]]
    return {"changes": changes, "unchanged": plan.unchanged, "faults": faults, "notes": notes}


def show_version(row: VersionRow, *, whole: bool = False) -> JsonObject:
    """Return a version as JSON; `whole` with the records before and after."""
    said: JsonObject = {
        "id": row.id,
        "at": row.at,
        "actor": row.actor,
        "action": row.action,
        "note": row.note,
        "records": _count(row.after),
    }
    return {**said, "before": row.before, "after": row.after} if whole else said


def _changed(state: JsonObject | None, other: JsonObject | None) -> JsonObject | None:
    if state is None or other is None:
        return state

    keys = {key for key in (*state, *other) if state.get(key) != other.get(key)}
    return {key: state[key] for key in state if key in keys}


def _check_revision(contents: Contents, expected: str | None) -> None:
    if expected is not None and expected != revision_of(contents):
        raise FailedPrecondition(
            "The catalog was changed since the plan was made: plan again, then apply.",
            code="core.bundle.changed",
            http_status=412,
        )


def _check_plan(plan: Plan, bundle: Bundle) -> None:
    if plan.faults:
        lines = [render_fault(fault, bundle.places) for fault in plan.faults[:_MAX_FAULTS]]
        more = len(plan.faults) - len(lines)
        rest = f"; and {more} more" if more else ""
        raise InvalidArgument(
            f"Nothing was changed: {'; '.join(lines)}{rest}.", code="core.bundle.invalid"
        )


def _reading(kind: Kind) -> str:
    return KINDS[kind].permission(Action.READ)


def _is_own(context: AuthenticatedContext, record: CatalogRecord) -> bool:
    return record.origin == API and may_change(context, record, Action.UPDATE)


def _wanted_of_published(
    context: AuthenticatedContext, draft: Draft, contents: Contents
) -> JsonObject:
    found: dict[str, dict[str, Json]] = {}

    for row in contents.overrides:
        record = draft.named(row.kind, row.name)

        # What is not published at the moment nobody can judge but the platform.
        known = is_platform(context) if record is None else _may_read(context, record)

        if known and granted(context.visibility_scope.permissions, _reading(row.kind)):
            found.setdefault(KINDS[row.kind].path, {})[row.name] = dict(row.wanted)

    return {**found}


def _may_read(context: AuthenticatedContext, record: CatalogRecord) -> bool:
    return may_change(context, record, Action.UPDATE)


def _knows(context: AuthenticatedContext, row: VersionRow) -> bool:
    return is_platform(context) or row.actor == _actor(context)


def _actor(context: AuthenticatedContext) -> str:
    return context.subject.user_email or context.subject.token_id or "local"


def _states(planned: Sequence[Planned], *, after: bool) -> JsonObject:
    """Return the touched records as a bundle; null where there is none."""
    bundle: dict[str, Json] = {"bundle": VERSION}

    for each in planned:
        level: dict[str, Json] = bundle

        for part in each.path[:-1]:
            inner = level.setdefault(str(part), {})
            assert isinstance(inner, dict)
            level = inner

        state = each.after if after else each.before
        level[str(each.path[-1])] = None if state is None else _nameless(each, state)

    return bundle


def _nameless(each: Planned, state: JsonObject) -> JsonObject:
    identity = KINDS[each.change.record.kind].identity
    return {key: value for key, value in state.items() if key not in identity}


def _before(versions: Sequence[VersionRow]) -> tuple[Bundle, set[tuple[Kind, str]]]:
    """Return how everything was that versions touched, and what was not there; newest first."""
    states: dict[tuple[str, ...], Json] = {}

    for row in versions:
        states.update(_leaves(row.before))

    bundle: dict[str, Json] = {"bundle": VERSION}
    gone: set[tuple[Kind, str]] = set()

    for path, state in states.items():
        if state is None and path[0] in SECTIONS:
            gone.add((SECTIONS[path[0]], path[1]))
            continue

        level: dict[str, Json] = bundle

        for part in path[:-1]:
            inner = level.setdefault(part, {})
            assert isinstance(inner, dict)
            level = inner

        level[path[-1]] = {} if state is None else state

    return bundle_of(bundle), gone


def _leaves(bundle: Mapping[str, Json]) -> dict[tuple[str, ...], Json]:
    found: dict[tuple[str, ...], Json] = {}

    for section, entries in bundle.items():
        for name, state in entries.items() if isinstance(entries, dict) else ():
            if section != PUBLISHED:
                found[section, name] = state
            elif isinstance(state, dict):
                found.update({(section, name, key): inner for key, inner in state.items()})

    return found


def _count(bundle: Mapping[str, Json]) -> int:
    return len(_leaves(bundle))
