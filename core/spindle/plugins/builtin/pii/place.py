"""Where something stands in a text, and what every rule knows of the text around it."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Place: TypeAlias = tuple[int, int]

ESCAPE_LENGTH: Final = 6
# Tool results often are JSON inside text: "\nann@…" is a line break before an address.
ESCAPE: Final = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|[bfnrt])")


def escape_end(text: str, position: int) -> int:
    """Return where an escape ends that reaches over `position`; else `position`."""
    slash = text.rfind("\\", max(0, position - ESCAPE_LENGTH + 1), position)
    escape = ESCAPE.match(text, slash) if slash != -1 else None
    return position if escape is None else max(position, escape.end())


def ends_escape(text: str, position: int) -> bool:
    """Tell whether the character before `position` is the last one of an escape."""
    slash = text.rfind("\\", max(0, position - ESCAPE_LENGTH), position)
    escape = ESCAPE.match(text, slash) if slash != -1 else None
    return escape is not None and escape.end() == position
