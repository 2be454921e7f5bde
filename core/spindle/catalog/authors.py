"""Who made the records of the catalog and who changed them last, as answers show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.store.catalog import Authorship

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spindle.store import Store
    from spindle_spi.records import CatalogRecord

_UNKNOWN = Authorship()


class Authors:
    """Follows the store: it is told without waiting, also while the database is away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_id: Mapping[str, Authorship] = {}

    def of(self, record: CatalogRecord) -> Authorship:
        """Return who made a record; nobody for what a module published."""
        return self._by_id.get(record.id, _UNKNOWN)

    async def read(self) -> Callable[[], None]:
        """Read the store; return what puts it in force."""
        by_id = await self._store.catalog.authorship()

        def put() -> None:
            self._by_id = by_id

        return put
