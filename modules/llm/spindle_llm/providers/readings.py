"""Members of JSON that somebody else wrote, read as what they should be, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject


def text_in(entry: JsonObject, name: str) -> str | None:
    """Return a text that is not empty."""
    value = entry.get(name)
    return value if isinstance(value, str) and value else None


def whole_in(entry: JsonObject, name: str) -> int | None:
    """Return a number of something: whole, and more than none."""
    value = entry.get(name)

    if isinstance(value, bool) or not isinstance(value, int | float):
        return None

    return int(value) if 0 < value < 2**63 else None


def flag_in(entry: JsonObject, name: str) -> bool | None:
    """Return a yes or a no."""
    value = entry.get(name)
    return value if isinstance(value, bool) else None


def names_in(entry: JsonObject, name: str) -> frozenset[str] | None:
    """Return a list of words as a set; None when there is no list."""
    value = entry.get(name)
    return frozenset(map(str, value)) if isinstance(value, list) else None


def object_in(entry: JsonObject, name: str) -> JsonObject:
    """Return an object; an empty one where there is none."""
    value = entry.get(name)
    return value if isinstance(value, dict) else {}


def objects_in(entry: JsonObject, name: str) -> list[JsonObject]:
    """Return the objects of a list; none where there is no list."""
    value = entry.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
