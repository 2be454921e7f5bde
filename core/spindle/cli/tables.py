"""Tables on the terminal; whole lines when nobody watches, so that they can be searched."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDE = 500


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their titles."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")

    for title in titles:
        table.add_column(title, overflow="fold")

    for row in rows:
        # Text, not markup: a name may have brackets in it.
        table.add_row(*(Text(cell) for cell in row))

    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)
