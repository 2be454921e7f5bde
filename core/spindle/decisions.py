"""What the core decides about a call and would decide again: kept for as long as it holds.

A decision depends on the caller, the target, the action and the snapshot, and on nothing else. So
it is made once for each of them, and dropped with the snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from spindle.accounting import team_of
from spindle_spi.admission import Limits, limits_of
from spindle_spi.context import Subject, VisibilityScope
from spindle_spi.policy import (
    Action,
    absent,
    allow,
    permission_for,
    permitted,
    usable_backend,
)
from spindle_spi.records import CatalogRecord, Kind, Target, fallbacks_of, secret_of
from spindle_spi.secret import SecretRef

if TYPE_CHECKING:
    from spindle.snapshot import Snapshot
    from spindle_spi.context import AuthenticatedContext

_MOST_KNOWN = 4096
"""Decisions kept; beyond it they are made again."""

Records: TypeAlias = tuple[CatalogRecord, ...]
_Place: TypeAlias = "tuple[str | None, str | None, Kind, str, bool, Action]"


@dataclass(slots=True, eq=False)
class Decision:
    """A caller may do this to a record; nobody changes it."""

    subject: Subject
    scope: VisibilityScope
    record: CatalogRecord
    backend: CatalogRecord | None
    secrets: tuple[SecretRef, ...]
    others: Records
    """Fallbacks this caller may use, in order."""
    other_backends: Records
    """The backend of each of them."""
    limits: Limits
    team: str | None
    """The caller's team that the call is charged to."""
    records: Records
    """The record and, after it, what may answer in its place."""
    backends: tuple[CatalogRecord | None, ...]
    """The backend of each of them."""
    kind: str
    action: str

    def without(self, ids: frozenset[str]) -> tuple[Records, Records]:
        """Return the fallbacks and their backends without some of them."""
        kept = [
            pair
            for pair in zip(self.others, self.other_backends, strict=True)
            if pair[0].id not in ids
        ]
        return tuple(other for other, _ in kept), tuple(backend for _, backend in kept)


class Decisions:
    """Decides, and remembers."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._known: dict[_Place, Decision] = {}

    def of(
        self, snapshot: Snapshot, context: AuthenticatedContext, target: Target, action: Action
    ) -> Decision:
        """Decide about a call.

        Raises:
            NotFound: The record is absent, or hidden from this caller.
            PermissionDenied: The caller may not do that to it.
            FailedPrecondition: What serves the record is missing or switched off.
        """
        if snapshot is not self._snapshot:
            self._snapshot = snapshot
            self._known.clear()

        subject, scope = context.subject, context.visibility_scope
        place = (
            subject.token_id,
            scope.server_id,
            target.kind,
            target.name,
            target.by_id,
            action,
        )
        known = self._known.get(place)

        # The same credential may come with less: the place alone decides nothing.
        if (
            known is not None
            and (known.subject is subject or known.subject == subject)
            and (known.scope is scope or known.scope == scope)
        ):
            return known

        decision = _decide(snapshot, context, target, action)

        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()

        self._known[place] = decision
        return decision

    def kept(self) -> int:
        """Return how many decisions are kept."""
        return len(self._known)


def seen(snapshot: Snapshot, context: AuthenticatedContext, target: Target) -> CatalogRecord:
    """Return the record a target names.

    Raises:
        NotFound: Absent, or hidden from this caller: the answer is the same.
    """
    record = snapshot.see(context, target)

    if record is None:
        raise absent(target)

    return record


def permitted_record(
    snapshot: Snapshot, context: AuthenticatedContext, target: Target, action: Action
) -> CatalogRecord:
    """Return the record of a call that the caller may make.

    Raises:
        NotFound: The record is absent, or hidden from this caller.
        PermissionDenied: The caller may not do that to it.
    """
    record = seen(snapshot, context, target)
    allow(context, permission_for(record.kind, action), record)
    return record


def _decide(
    snapshot: Snapshot, context: AuthenticatedContext, target: Target, action: Action
) -> Decision:
    record = permitted_record(snapshot, context, target, action)
    backend = usable_backend(record, snapshot.backend_of(record))
    secret = None if backend is None else secret_of(backend.spec)
    others, other_backends = alternatives(snapshot, context, record)
    return Decision(
        subject=context.subject,
        scope=context.visibility_scope,
        record=record,
        backend=backend,
        secrets=() if secret is None else (secret,),
        others=others,
        other_backends=other_backends,
        limits=limits_of(backend, 1 + len(others)),
        team=team_of(context.subject, record),
        records=(record, *others),
        backends=(backend, *other_backends),
        kind=record.kind.value,
        action=action.value,
    )


def alternatives(
    snapshot: Snapshot, context: AuthenticatedContext, record: CatalogRecord
) -> tuple[Records, Records]:
    """Return what may answer in a record's place for this caller, and the backend of each."""
    own = snapshot.backend_of(record)
    names = fallbacks_of(record.spec, None if own is None else own.spec)

    if not names:
        return (), ()

    found: dict[str, tuple[CatalogRecord, CatalogRecord]] = {}
    permission = permission_for(Kind.MODEL, Action.EXECUTE)

    for name in names:
        # A fallback the caller may not see, or not use, is not in the permit at all.
        other = snapshot.see(context, Target(kind=Kind.MODEL, name=name))

        if other is None or other.id == record.id or not permitted(context, permission, other):
            continue

        backend = snapshot.backend_of(other)

        if backend is not None and backend.enabled:
            found.setdefault(other.id, (other, backend))

    pairs = found.values()
    return tuple(other for other, _ in pairs), tuple(backend for _, backend in pairs)
