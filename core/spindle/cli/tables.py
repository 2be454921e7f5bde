"""Tables on the terminal; whole lines when nobody watches, so that they can be searched."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WIDE = 500
_COMMANDS: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
"""What a terminal obeys: colours, the cursor, the direction of writing. Lines may end."""


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their titles."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")

    for title in titles:
        table.add_column(title, overflow="fold")

    for row in rows:
        # Text, not markup: a name may have brackets in it.
        table.add_row(*(Text(visible(cell)) for cell in row))

    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def visible(text: str) -> str:
    """Return a text a terminal only shows: names and descriptions are other people's words."""
    return _COMMANDS.sub(lambda found: repr(found.group())[1:-1], text)
