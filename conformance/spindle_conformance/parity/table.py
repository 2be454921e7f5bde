"""The table of what was proven, to be printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def table_of(proven: Mapping[tuple[str, str], tuple[int, int]]) -> str:
    """Return a table of dialects × surfaces: distinct scripts, and streams read at their cuts."""
    dialects = list(dict.fromkeys(dialect for dialect, _ in proven))
    surfaces = list(dict.fromkeys(surface for _, surface in proven))
    lines = [f"{'dialect':<20}" + "".join(f"{surface:>28}" for surface in surfaces)]

    for dialect in dialects:
        cells = [proven.get((dialect, surface)) for surface in surfaces]
        shown = ["–" if cell is None else f"{cell[0]} scripts, {cell[1]} cuts" for cell in cells]
        lines.append(f"{dialect:<20}" + "".join(f"{cell:>28}" for cell in shown))

    return "\n".join(lines)
