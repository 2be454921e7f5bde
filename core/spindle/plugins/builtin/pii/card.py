"""Payment card numbers, by Luhn's sum."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spindle.plugins.builtin.pii.place import Place

_CARD_DIGITS = range(13, 20)
_CARD_LENGTH = 2 * _CARD_DIGITS[-1] - 1
"""Nineteen digits, and a separator between each two."""

CARD_SPAN: Final = _CARD_LENGTH + 1

# A digit that begins a group: after no letter, digit or "_" (unless that ends an escape), and not
# the fraction of a decimal number.
_CARD_START = re.compile(
    r"\d(?:(?<![\dA-Za-z_]\d)|(?<=\\[bfnrt]\d)|(?<=\\u[0-9A-Fa-f]{4}\d))(?<!\d\.\d)"
)
_CARD_RUN = re.compile(r"\d(?:[ \-\u00a0\u2007\u202f\u2010-\u2015]?\d){12,18}")
_CARD_EDGE = re.compile(r"[\dA-Za-z_]")


def find_card(text: str, start: int) -> Place | None:
    """Return the first payment card number that begins at or after `start`."""
    for first in _CARD_START.finditer(text, start):
        end = _card_end(text, first.start())

        if end is not None:
            return first.start(), end

    return None


def _card_end(text: str, begin: int) -> int | None:
    run = _CARD_RUN.match(text, begin, begin + _CARD_LENGTH)

    if run is None:
        return None

    end: int | None = None
    # Luhn's sum of the digits so far, were they the whole number: its parity says which double.
    evenly, oddly, count = 0, 0, 0

    for index in range(begin, run.end()):
        if not text[index].isdecimal():
            continue

        digit = int(text[index])
        doubled = digit * 2 - 9 * (digit > 4)
        evenly += digit if count % 2 else doubled
        oddly += doubled if count % 2 else digit
        count += 1
        total = oddly if count % 2 else evenly

        if total % 10 or not _is_card_length(text[begin], count):
            continue

        if _CARD_EDGE.match(text, index + 1) is None:
            end = index + 1

    return end


def _is_card_length(first: str, count: int) -> bool:
    # No card begins with 0; those with 1 have 15 digits, and many timestamps and ids begin so.
    leading = int(first)
    return count == 15 if leading == 1 else leading > 1 and count in _CARD_DIGITS
