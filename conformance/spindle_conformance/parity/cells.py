"""A cell of the table: one upstream dialect behind one surface, and what both can say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Capability, Finish
from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.dialects.catalog import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Iterable


_UNSHOWN = {
    "chat": frozenset({Capability.CITATIONS}),
    # Anthropic's form holds arguments as an object: text that is none cannot be said in it.
    "messages": frozenset(
        {
            Capability.CHOICES,
            Capability.LOGPROBS,
            Capability.CITATIONS,
            Capability.BROKEN_ARGUMENTS,
        }
    ),
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
        found = self.dialect.capabilities - _UNSHOWN[self.surface]
        return found - {Capability.NO_USAGE} if self._is_same_form else found

    @property
    def finishes(self) -> frozenset[Finish]:
        """Why an answer may end."""
        # Which sequence ended it is another parameter's business.
        found = self.dialect.finishes - {Finish.STOP_SEQUENCE}
        return found - {Finish.NONE} if self._is_same_form else found

    @property
    def finishes_of_calls(self) -> frozenset[Finish]:
        """Why an answer with tool calls may end."""
        says = {Finish.TOOL_CALLS, Finish.LENGTH}
        sloppy = {Finish.STOP, Finish.NONE}
        return self.finishes & (says if self._is_same_form else says | sloppy)

    @property
    def _is_same_form(self) -> bool:
        """Whether bytes pass as they are: then only what the vendor really says is said."""
        return (self.dialect.name, self.surface) == ("anthropic", "messages")


def cells_of(
    dialects: Iterable[str] = tuple(DIALECTS), surfaces: Iterable[str] = SURFACES
) -> tuple[Cell, ...]:
    """Return the cells of some dialects and surfaces."""
    return tuple(
        Cell(dialect=DIALECTS[name], surface=surface) for name in dialects for surface in surfaces
    )
