"""Pins the definitions of what upstreams publish, and judges what they publish later by them.

The first sight of a definition is taken as it is. What an upstream changes afterwards is served,
served and told of, or withheld until somebody approves it: decision 51.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import structlog

from spindle.definitions import PINNED_KINDS, canonical, definition_of, source_name_of
from spindle.store.pins import Pin, PinKey, PinWrite
from spindle_spi.records import CatalogRecord, GatewaySpec, PublishedRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from spindle.config.catalog import OnChange
    from spindle.store import Store

_LOG = structlog.get_logger("spindle.catalog")

_MAX_PINS: Final = 100_000
"""Pins kept of one source; beyond it those go that it does not offer any more."""
_MAX_TOLD: Final = 10_000


class State(StrEnum):
    """Why a definition is not simply in force."""

    NEW = "new"
    """The upstream did not offer it when it was seen first."""
    CHANGED = "changed"
    REJECTED = "rejected"
    """Somebody refused exactly this definition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionChange:
    """A definition that is not the one that was approved."""

    record: PublishedRecord
    digest: str
    state: State
    is_held: bool
    """It is withheld: for everybody it is absent."""
    pin: Pin | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What becomes of the records of one source."""

    served: tuple[PublishedRecord, ...]
    changes: tuple[DefinitionChange, ...] = ()
    unpinned: tuple[DefinitionChange, ...] = ()
    """What is served and to be pinned as it is."""


class Pinning:
    """The pins of all sources; follows the store."""

    def __init__(self, store: Store, on_change: OnChange, *, max_pins: int = _MAX_PINS) -> None:
        self._store = store
        self._max_pins = max_pins
        self._on_change: OnChange = on_change
        self._pins: Mapping[PinKey, Pin] = {}
        self._counts: dict[str, int] = {}
        self._told: dict[tuple[PinKey, str], None] = {}
        self.version = 0
        """Rises with every change of what is judged by."""

    def configure(self, on_change: OnChange) -> None:
        """Judge by another default from now on."""
        self._on_change = on_change
        self.version += 1

    def policy_of(self, source: CatalogRecord | None) -> OnChange | None:
        """Return what becomes of changed definitions of a source; None when none is pinned.

        What is our own, or lives for one lease of one caller, is not.
        """
        spec = None if source is None else source.spec

        if source is None or not isinstance(spec, GatewaySpec) or source.origin == "ephemeral":
            return None

        if spec.transport == "builtin":
            return None

        match spec.on_change:
            case "allow" | "warn" | "hold":
                return spec.on_change
            case _:
                return self._on_change

    def judge(
        self,
        source: str,
        policy: OnChange | None,
        records: Sequence[PublishedRecord],
        digests: Sequence[str],
    ) -> Judged:
        """Return what becomes of the records of a source, given their digests."""
        if policy is None:
            return Judged(served=tuple(records))

        is_known = self._counts.get(source, 0) > 0
        served: list[PublishedRecord] = []
        changes: list[DefinitionChange] = []
        unpinned: list[DefinitionChange] = []

        for record, digest in zip(records, digests, strict=True):
            pin = self._pins.get(key_of(source, record))

            if record.kind not in PINNED_KINDS or (pin is not None and pin.digest == digest):
                served.append(record)
                continue

            change = _judged(record, digest, pin, policy, is_known=is_known)

            if not change.is_held:
                served.append(record)

            if change.is_held or (policy == "warn" and pin is not None):
                changes.append(change)
                self._tell(source, change)
            else:
                unpinned.append(change)

        return Judged(served=tuple(served), changes=tuple(changes), unpinned=tuple(unpinned))

    async def pin(self, seen: Mapping[str, Judged], offered: Mapping[str, set[PinKey]]) -> bool:
        """Write down what was seen and is to be pinned; returns whether anything was written."""
        writes = [
            PinWrite(
                key=key_of(source, change.record),
                pin=Pin(change.digest, "" if change.pin is None else change.pin.rejected),
                definition=canonical(definition_of(change.record)),
                before=change.pin,
            )
            for source, judged in seen.items()
            for change in judged.unpinned
        ]
        crowded = {
            source
            for source, judged in seen.items()
            if self._counts.get(source, 0) + len(judged.unpinned) > self._max_pins
        }
        gone = [key for key in self._pins if key[0] in crowded and key not in offered[key[0]]]
        return await self._store.pins.see(writes, gone)

    async def read(self) -> Callable[[], None]:
        """Read the store; return what puts it in force."""
        pins = await self._store.pins.all()

        def put() -> None:
            if pins != self._pins:
                self._pins = pins
                self._counts = _counted(pins)
                self.version += 1

        return put

    def _tell(self, source: str, change: DefinitionChange) -> None:
        key = (key_of(source, change.record), change.digest)

        if key in self._told or change.state is State.REJECTED:
            return

        if len(self._told) >= _MAX_TOLD:
            self._told.clear()

        self._told[key] = None
        _LOG.warning(
            "definition held" if change.is_held else "definition changed",
            source=source,
            kind=change.record.kind.value,
            name=change.record.name,
            state=change.state.value,
        )


def key_of(source: str, record: PublishedRecord) -> PinKey:
    """Return what the pin of a record is kept under."""
    return source, record.kind, source_name_of(record)


def _judged(
    record: PublishedRecord, digest: str, pin: Pin | None, policy: OnChange, *, is_known: bool
) -> DefinitionChange:
    is_new = pin is None or not pin.digest

    if pin is not None and pin.rejected == digest:
        state, is_held = State.REJECTED, True
    elif is_new:
        state, is_held = State.NEW, policy == "hold" and is_known
    else:
        state, is_held = State.CHANGED, policy == "hold"

    return DefinitionChange(record=record, digest=digest, state=state, is_held=is_held, pin=pin)


def _counted(pins: Iterable[PinKey]) -> dict[str, int]:
    counts: dict[str, int] = {}

    for source, _, _ in pins:
        counts[source] = counts.get(source, 0) + 1

    return counts
