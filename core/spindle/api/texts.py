"""Texts no database keeps: refused where a request is read, whatever the database.

PostgreSQL takes no zero character, and nothing that is written in UTF-8 takes half of a surrogate
pair. SQLite would take the former; what an answer is must not depend on the database.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from spindle.config.faults import render_path
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.types import Json

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_ESCAPED: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u(?:0000|[dD][89a-fA-F])")
"""How JSON may spell such a character, or a whole pair."""

LONGEST_NAME: Final = 300
"""Characters of a name somebody else gave; an index of PostgreSQL takes no more than some 2,000."""

_Path = tuple[str | int, ...]


def is_storable(text: str) -> bool:
    """Tell whether a text may be looked for, or kept, in any database."""
    return _UNSTORABLE.search(text) is None


def check_text(name: str, text: str) -> None:
    """Refuse a parameter that no database keeps.

    Raises:
        InvalidArgument: It has a zero character or half of a surrogate pair.
    """
    if not is_storable(text):
        raise _refused(render_path((name,)))


def check_json(data: bytes) -> None:
    """Refuse a body, known to be JSON, with a text that no database keeps.

    Raises:
        InvalidArgument: One has a zero character or half of a surrogate pair; it is named.
    """
    # Nearly every body ends here: such a character needs an escape.
    if _ESCAPED.search(data) is not None:
        check_value(json.loads(data))


def check_value(value: Json) -> None:
    """Refuse a value with a text that no database keeps.

    Raises:
        InvalidArgument: One has a zero character or half of a surrogate pair; it is named.
    """
    for path, text in _texts(value):
        if not is_storable(text):
            raise _refused(render_path(path) if path else "The body")


def _texts(value: Json) -> Iterator[tuple[_Path, str]]:
    waiting: list[tuple[_Path, Json]] = [((), value)]

    while waiting:
        path, each = waiting.pop()

        if isinstance(each, str):
            yield path, each
        elif isinstance(each, dict):
            for key, member in each.items():
                yield path, key
                waiting.append(((*path, key), member))
        elif isinstance(each, list):
            waiting.extend(((*path, index), member) for index, member in enumerate(each))


def _refused(name: str) -> InvalidArgument:
    return InvalidArgument(
        f"{name}: has a zero character or half of a surrogate pair, which no text may have."
    )
