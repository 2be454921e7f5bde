"""Which secrets there are, where each is found and who uses it: names and places, never values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spindle.secrets import Place
from spindle.store.secrets import SealedRow
from spindle_spi.errors import Conflict
from spindle_spi.records import CatalogRecord, secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle.secrets import SecretStore
    from spindle.store import Store
    from spindle.vault import Vault

State = Literal["available", "locked", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretInfo:
    """One secret, without its value."""

    name: str
    places: tuple[Place, ...]
    """Where it is looked for, in order; the first one with a value gives it."""
    state: State
    """`locked`: only the database has it, and no key here opens it."""
    used_by: tuple[CatalogRecord, ...]
    stored: SealedRow | None
    """What is known of the stored one."""

    @property
    def found(self) -> Place | None:
        """The place its value comes from."""
        return next((place for place in self.places if place.has_value), None)


class SecretInventory:
    """Joins configuration, database and records."""

    def __init__(self, store: Store, secrets: SecretStore, vault: Vault) -> None:
        self._store = store
        self._secrets = secrets
        self._vault = vault

    async def all(self, records: Iterable[CatalogRecord]) -> tuple[SecretInfo, ...]:
        """Return every secret that is configured, stored or referred to by a record, by name."""
        stored = {row.name: row for row in await self._store.secrets.shared()}
        uses = uses_of(records)
        names = {*self._secrets.names(), *stored, *uses}
        return tuple(
            self._info(name, stored.get(name), uses.get(name, ())) for name in sorted(names)
        )

    def _info(
        self, name: str, stored: SealedRow | None, used_by: tuple[CatalogRecord, ...]
    ) -> SecretInfo:
        kept = self._vault.state(name)
        places = (
            *self._secrets.places(name),
            Place(kind="database", where=name, has_value=kept == "stored"),
        )
        state: State = "locked" if kept == "locked" else "missing"
        return SecretInfo(
            name=name,
            places=places,
            state="available" if any(place.has_value for place in places) else state,
            used_by=used_by,
            stored=stored,
        )


def uses_of(records: Iterable[CatalogRecord]) -> dict[str, tuple[CatalogRecord, ...]]:
    """Return which records refer to a secret, by its name."""
    uses: dict[str, tuple[CatalogRecord, ...]] = {}

    for record in records:
        for ref in secrets_of(record.spec):
            uses[ref.name] = (*uses.get(ref.name, ()), record)

    return uses


def check_deletable(info: SecretInfo, shown: Iterable[CatalogRecord]) -> None:
    """Refuse to take a stored secret away from the records that use it.

    One that no key opens is of no use to them. `shown` are those the caller may know of.

    Raises:
        Conflict: Some record refers to it.
    """
    if info.used_by and info.state != "locked":
        names = [f"the {record.kind.value} {record.name!r}" for record in shown]
        raise Conflict(
            f"The secret {info.name!r} is used by {', '.join(names) or 'a record'}; delete that "
            "first, or put another value in its place.",
            code="core.secret.in_use",
        )
