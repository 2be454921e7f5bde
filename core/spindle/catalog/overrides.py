"""What people want of published records, beside what the configuration wants of them.

A published record is its upstream's; who sees it, whose it is, whether it is served and how it is
described is governed here. Such an override is stored, so it holds for every publication and after
every restart. What the configuration says of the same field wins, and cannot be changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.catalog.bodies import Governance, merged, plain, read_body
from spindle.config.records import ToolOverride
from spindle.store.catalog import OverrideRow
from spindle_spi.errors import Conflict
from spindle_spi.records import CatalogRecord, Kind, ToolSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spindle.publications import Publications
    from spindle.store import Store
    from spindle_spi.types import JsonObject


class StoredOverrides:
    """Follows the store: overrides are in force with the snapshot that was read with them."""

    def __init__(self, store: Store, publications: Publications) -> None:
        self._store = store
        self._publications = publications
        self._epochs: dict[tuple[Kind, str, str], int] = {}

    def epoch(self, record: CatalogRecord) -> int:
        """Return the epoch of what is wanted of a published record; 0 when nothing is."""
        return self._epochs.get((record.kind, record.name, record.origin), 0)

    async def read(self) -> Callable[[], None]:
        """Read the store; return what puts the overrides in force."""
        rows = await self._store.catalog.overrides()
        wanted = {(row.kind, row.name, row.source): override_of(row) for row in rows}
        epochs = {(row.kind, row.name, row.source): row.epoch for row in rows}

        def put() -> None:
            self._publications.want(wanted)
            self._epochs = epochs

        return put


def override_of(row: OverrideRow) -> ToolOverride:
    """Return what a stored override stands for."""
    body = read_body(Governance, dict(row.wanted))
    return ToolOverride(
        visibility=body.visibility,
        team=body.team,
        owner=body.owner,
        enabled=body.enabled,
        description=body.description,
        tags=body.tags,
    )


def configured_for(
    record: CatalogRecord, configured: Mapping[tuple[str, str], ToolOverride]
) -> ToolOverride | None:
    """Return what the configuration wants of a published record."""
    spec = record.spec

    if not isinstance(spec, ToolSpec) or spec.gateway is None:
        return None

    return configured.get((spec.gateway, spec.upstream_name))


def wanted_after(
    record: CatalogRecord,
    row: OverrideRow | None,
    changes: JsonObject,
    configured: Mapping[tuple[str, str], ToolOverride],
) -> OverrideRow:
    """Return what is wanted after a change; a null gives a field back to its source.

    Raises:
        Conflict: A field is the upstream's, or the configuration's.
        InvalidArgument: A value is none of its field's.
    """
    foreign = sorted(changes.keys() - Governance.model_fields.keys())

    if foreign:
        known = ", ".join(Governance.model_fields)
        raise Conflict(
            f"{record.origin} says what the {record.kind.value} {record.name!r} is; "
            f"{', '.join(foreign)} cannot be changed here, only {known}.",
            code="core.record.published",
        )

    said = configured_for(record, configured)
    spec = record.spec

    for key in sorted(changes):
        if said is not None and getattr(said, key) is not None and isinstance(spec, ToolSpec):
            raise Conflict(
                f"The configuration says it (mcp.gateways.{spec.gateway}.tools."
                f"{spec.upstream_name}.{key}): change it there.",
                code="core.record.configured",
            )

    before = {} if row is None else dict(row.wanted)
    body = read_body(Governance, merged(before, changes))
    return OverrideRow(kind=record.kind, name=record.name, source=record.origin, wanted=plain(body))
