"""A cell of the table: one upstream dialect behind one surface, and what both can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Capability
from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.dialects.catalog import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Iterable


_UNSHOWN = {
    "chat": frozenset({Capability.CITATIONS}),
    "messages": frozenset({Capability.CHOICES, Capability.LOGPROBS, Capability.CITATIONS}),
    "responses": frozenset({Capability.CHOICES, Capability.CITATIONS}),
}
"""What clients of a surface are not shown, and the prover therefore does not say."""

SURFACES = tuple(_UNSHOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One dialect behind one surface."""

    dialect: Dialect
    surface: str

    @property
    def name(self) -> str:
        """Its name in the table."""
        return f"{self.dialect.name} × {self.surface}"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What can be said and shown."""
        return self.dialect.capabilities - _UNSHOWN[self.surface]


def cells_of(
    dialects: Iterable[str] = tuple(DIALECTS), surfaces: Iterable[str] = SURFACES
) -> tuple[Cell, ...]:
    """Return the cells of some dialects and surfaces."""
    return tuple(
        Cell(dialect=DIALECTS[name], surface=surface) for name in dialects for surface in surfaces
    )
