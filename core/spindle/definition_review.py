"""Who governs a gateway sees what its upstream changed in its definitions, and decides on it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import anyio.to_thread

from spindle.audit import AuditEntry
from spindle.authority import actor_of
from spindle.catalog.access import check_change, has_part
from spindle.definitions import canonical, definition_of, diff_of
from spindle.pinning import DefinitionChange, key_of
from spindle.store.pins import Pin, PinWrite
from spindle_spi.errors import FailedPrecondition, NotFound, PermissionDenied, shortened
from spindle_spi.policy import Action
from spindle_spi.records import CatalogRecord, Kind, LeftOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.audit import Audit
    from spindle.catalog.editing import CatalogEditor
    from spindle.snapshots import Snapshots
    from spindle.store import Store
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import Json


class Decision(StrEnum):
    """What somebody makes of a changed definition."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The definitions of a gateway that are not the approved ones."""

    gateway: CatalogRecord
    changes: tuple[DefinitionChange, ...]

    @property
    def tag(self) -> str:
        """Equal exactly when the changes are: what a decision may expect."""
        said = "\n".join(
            f"{each.record.kind.value} {each.record.name} {each.state.value} {each.digest}"
            for each in self.changes
        )
        return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class DefinitionReview:
    """Reads and decides as one caller may."""

    def __init__(
        self, *, store: Store, snapshots: Snapshots, audit: Audit, editor: CatalogEditor
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._audit = audit
        self._editor = editor

    def left_out(
        self, context: AuthenticatedContext, gateway: str
    ) -> tuple[CatalogRecord, tuple[LeftOut, ...]]:
        """Return a gateway, and what it offers that is no record, or not for everybody.

        Raises:
            NotFound: Absent or hidden.
            PermissionDenied: Not this caller's to govern.
        """
        record = self._readable(context, gateway)
        return record, self._snapshots.left_out(_source(record))

    def review(self, context: AuthenticatedContext, gateway: str) -> Review:
        """Return what changed; see `left_out` for what is refused."""
        record = self._readable(context, gateway)
        found = self._snapshots.judged(_source(record)).changes
        ordered = sorted(found, key=lambda each: (each.record.kind.value, each.record.name))
        return Review(gateway=record, changes=tuple(ordered))

    async def diffs(self, review: Review, changes: Sequence[DefinitionChange]) -> list[str]:
        """Return what changed in each, as unified diffs of canonical JSON."""
        source = _source(review.gateway)
        keys = [key_of(source, each.record) for each in changes]
        known = await self._store.pins.definitions(keys)

        def compare() -> list[str]:
            return [
                diff_of(known.get(key, ""), canonical(definition_of(each.record)))
                for key, each in zip(keys, changes, strict=True)
            ]

        return await anyio.to_thread.run_sync(compare)

    async def decide(
        self,
        context: AuthenticatedContext,
        review: Review,
        decision: Decision,
        names: Sequence[str] | None = None,
    ) -> tuple[DefinitionChange, ...]:
        """Approve or reject changes, all of a review or those of some names; in force on return.

        Raises:
            NotFound: There is no change of such a name.
            PermissionDenied: Not this caller's to change.
            FailedPrecondition: Somebody else decided meanwhile (412).
        """
        check_change(context, review.gateway, Action.UPDATE)
        chosen = _chosen(review, names)
        source = _source(review.gateway)
        known = await self._store.pins.definitions(key_of(source, each.record) for each in chosen)
        writes = [_write(source, each, decision) for each in chosen]
        rows = [
            self._audit.row(
                context,
                AuditEntry(
                    action=f"gateways.{decision.value}",
                    target=each.record.name,
                    target_kind=each.record.kind.value,
                    before=_plain(known.get(key_of(source, each.record), "")),
                    after=definition_of(each.record),
                ),
            )
            for each in chosen
        ]

        if not await self._store.pins.decide(writes, by=actor_of(context) or "", audit=rows):
            raise FailedPrecondition(
                "Somebody else decided on it meanwhile: read it again, then decide.",
                code="core.record.changed",
                http_status=412,
            )

        await self._snapshots.refresh()
        return chosen

    def _readable(self, context: AuthenticatedContext, gateway: str) -> CatalogRecord:
        record = self._editor.get(context, Kind.GATEWAY, gateway)

        if not has_part(context, record):
            raise PermissionDenied(
                f"What the gateway {record.name!r} offers beside its records is for those who "
                "govern it.",
                code="core.record.foreign",
            )

        return record


def _source(gateway: CatalogRecord) -> str:
    return f"{gateway.kind.value}:{gateway.name}"


def _chosen(review: Review, names: Sequence[str] | None) -> tuple[DefinitionChange, ...]:
    if names is None:
        return review.changes

    chosen = tuple(each for each in review.changes if each.record.name in names)
    unknown = sorted(set(names) - {each.record.name for each in chosen})

    if unknown:
        raise NotFound(
            f"The gateway {review.gateway.name!r} has no change of {shortened(unknown[0])!r}.",
            code="core.change.not_found",
        )

    return chosen


def _write(source: str, change: DefinitionChange, decision: Decision) -> PinWrite:
    before = change.pin

    pin = Pin("" if before is None else before.digest, change.digest)
    definition: str | None = None

    if decision is Decision.APPROVE:
        pin = Pin(change.digest, "")
        definition = canonical(definition_of(change.record))

    return PinWrite(
        key=key_of(source, change.record), pin=pin, definition=definition, before=before
    )


def _plain(text: str) -> Json:
    value: Json = json.loads(text) if text else None
    return value
