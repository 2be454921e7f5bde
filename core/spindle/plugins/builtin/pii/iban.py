"""International bank account numbers, by country, length and check digits (ISO 13616)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from spindle.plugins.builtin.pii.place import ends_escape

if TYPE_CHECKING:
    from spindle.plugins.builtin.pii.place import Place

_LENGTHS = {
    length: frozenset(countries.split())
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH CR HR LI LV",
        22: "BG BH DE GB GE IE ME RS",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
}
_LENGTH_OF = {country: length for length, countries in _LENGTHS.items() for country in countries}
_LONGEST = max(_LENGTHS)

IBAN_SPAN: Final = _LONGEST + (_LONGEST - 1) // 4 + 1
"""The longest number, a space after each group of four, and the character behind it."""

_START = re.compile(r"[A-Za-z]{2}\d{2}")
_SPACES = " \u00a0\u202f-"


def find_iban(text: str, start: int) -> Place | None:
    """Return the first account number that begins at or after `start`."""
    for head in _START.finditer(text, start):
        end = _iban_end(text, head.start())

        if end is not None:
            return head.start(), end

    return None


def _iban_end(text: str, begin: int) -> int | None:
    length = _LENGTH_OF.get(text[begin : begin + 2].upper())

    if length is None or not _begins_word(text, begin):
        return None

    compact: list[str] = []
    position = begin

    while len(compact) < length:
        # Nothing but a single space between groups of four.
        if compact and len(compact) % 4 == 0 and text[position : position + 1] in _SPACES:
            position += text[position : position + 1] != ""

        letter = text[position : position + 1]

        if not (letter.isascii() and letter.isalnum()):
            return None

        compact.append(letter)
        position += 1

    behind = text[position : position + 1]
    is_end = not (behind.isascii() and (behind.isalnum() or behind == "_"))
    return position if is_end and _has_check_digits("".join(compact)) else None


def _begins_word(text: str, begin: int) -> bool:
    before = text[begin - 1 : begin]
    is_word = before.isalnum() or before == "_"
    return not is_word or ends_escape(text, begin)


def _has_check_digits(iban: str) -> bool:
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1
