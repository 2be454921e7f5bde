"""Telephone numbers: international ones, and North American ones as they are written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from spindle.plugins.builtin.pii.place import ends_escape

if TYPE_CHECKING:
    from spindle.plugins.builtin.pii.place import Place

_SEPARATOR = r"[ .\-/()\u00a0\u202f\u2010-\u2015]"

PHONE_SPAN: Final = 2 + 14 * 3 + 1
"""A plus, fifteen digits with two separators before each but the first, and what is behind."""

# By E.164 a number has at most fifteen digits; with fewer than eight it may be anything.
_PHONE = re.compile(
    rf"\+[1-9](?:{_SEPARATOR}{{0,2}}\d){{7,14}}"
    r"|(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}",
    re.ASCII,
)
_DIGIT = re.compile(rf"{_SEPARATOR}?\d")
_EDGE = re.compile(r"[A-Za-z_\d]")


def find_phone(text: str, start: int) -> Place | None:
    """Return the first telephone number that begins at or after `start`."""
    position = start

    while (found := _PHONE.search(text, position)) is not None:
        begin, end = found.span()

        if _begins(text, begin) and _ends(text, end, is_international=text[begin] == "+"):
            return begin, end

        position = begin + 1

    return None


def _begins(text: str, begin: int) -> bool:
    before = text[begin - 1 : begin]

    if before == "." and text[begin - 2 : begin - 1].isdigit():
        return False

    is_word = before.isalnum() or before in ("_", "+")
    return not is_word or not before or ends_escape(text, begin)


def _ends(text: str, end: int, *, is_international: bool) -> bool:
    if is_international:
        # One more digit, and it was no number of that length.
        return text[end : end + 1] != "_" and _DIGIT.match(text, end) is None

    return _EDGE.match(text, end) is None
