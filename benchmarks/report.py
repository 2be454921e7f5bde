"""The table of figures, with what is over its budget."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.rows import Measured, Row
from benchmarks.subjects import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


FACTOR = 1.5
"""How far above its budget a figure may be today."""

_FIRST_CHUNK = ("added to the first chunk, median, ms", 1.5, 1.0)
_READY = ("start to /ready, s", 2.0, 1.2)
_IDLE = ("idle memory, MB", 130.0, 100.0)
_GROWTH = ("memory growth in the largest row, MB", 5.0, 0.0)
_OURS = "spindle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything measured."""

    subjects: list[str]
    """Names, in the order they are shown."""
    cells: dict[Row, list[Measured]]
    first_chunk_ms: dict[str, float]
    ready_s: float
    idle_mb: float
    final_mb: float

    @property
    def growth_mb(self) -> float:
        """The most that memory grew in a row."""
        ours = [cell for found in self.cells.values() for cell in found if cell.subject == _OURS]
        return max((cell.growth_mb for cell in ours), default=0.0)


def write(figures: Figures, report: Path | None) -> int:
    """Print the table, and write the figures to a file if one is named; 1 when far over."""
    names = figures.subjects
    sys.stdout.write(f"\nspindle is measured with: {'; '.join(FEATURES)}.\n\n")
    sys.stdout.write(f"| CPU ms per request | {' | '.join(names)} | budget | stretch | |\n")
    sys.stdout.write("|---" * (len(names) + 4) + "|\n")
    over: list[str] = []

    for row, found in figures.cells.items():
        by_name = {cell.subject: cell.cpu_ms for cell in found}
        over += _line(row.name, names, by_name, row.budget_ms, row.stretch_ms)

    over += _line(_FIRST_CHUNK[0], names, figures.first_chunk_ms, *_FIRST_CHUNK[1:])

    for (name, budget, stretch), value in (
        (_READY, figures.ready_s),
        (_IDLE, figures.idle_mb),
        (_GROWTH, figures.growth_mb),
    ):
        over += _line(name, names, {_OURS: value}, budget, stretch)

    if report is not None:
        report.write_text(json.dumps(_plain(figures), indent=2))

    if over:
        sys.stdout.write(f"\nOVER {FACTOR} x BUDGET: {', '.join(over)}\n")

    return 1 if over else 0


def _line(
    name: str, names: list[str], values: Mapping[str, float], budget: float, stretch: float
) -> list[str]:
    """Print one row; return its name when it is far over."""
    own = values[_OURS]
    shown = " | ".join(_number(values[each]) if each in values else "" for each in names)

    if own <= stretch:
        verdict = "under the stretch"
    else:
        verdict = "under" if own <= budget else f"OVER by {100 * (own / budget - 1):.0f} %"

    sys.stdout.write(f"| {name} | {shown} | {budget:g} | {stretch:g} | {verdict} |\n")
    return [name] if own > budget * FACTOR else []


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _plain(figures: Figures) -> dict[str, object]:
    return {
        "rows": {
            row.name: {
                "budget_ms": row.budget_ms,
                "subjects": {
                    cell.subject: {"cpu_ms": cell.cpu_ms, "requests": cell.requests}
                    for cell in found
                },
            }
            for row, found in figures.cells.items()
        },
        "first_chunk_ms": figures.first_chunk_ms,
        "ready_s": figures.ready_s,
        "idle_mb": figures.idle_mb,
        "final_mb": figures.final_mb,
        "growth_mb": figures.growth_mb,
        "features": FEATURES,
    }
