"""The built-in plugin `pii`: e-mail addresses and payment cards, masked or refused.

Both rules are defined per position: whether something starts at `i` depends only on
`text[i - 6 : i + span]`, so a stream is judged like a whole text. The reference page says what
counts. The patterns need look-arounds and take lone surrogates, which RE2 has not; each is linear:
every repetition is over a set of characters disjoint from what follows it, or bounded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from spindle_spi.plugin import Finding, HookPhase, Plugin, SegmentKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spindle_spi.types import Json, JsonObject

Place: TypeAlias = tuple[int, int]

_LOCAL_LENGTH = 64
_DOMAIN_LENGTH = 253
_EMAIL_SPAN = _LOCAL_LENGTH + 1 + _DOMAIN_LENGTH
_CARD_DIGITS = range(13, 20)
_CARD_LENGTH = 2 * _CARD_DIGITS[-1] - 1
"""Nineteen digits, and a separator between each two."""
_CARD_SPAN = _CARD_LENGTH + 1
_ESCAPE_LENGTH = 6

# Runs from the "@" to the left, over reversed text.
_LOCAL_REVERSED = re.compile(r"[\w\u0300-\u036f.%+'&~-]+")
_DOMAIN = re.compile(
    r"(?:[\w\u0300-\u036f-]{1,63}\.)+(?:[xX][nN]--[A-Za-z0-9-]{1,59}|[^\W\d_]{2,63})"
)
_WORD = re.compile(r"\w")
# Tool results often are JSON inside text: "\nann@…" is a line break before an address.
_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|[bfnrt])")

# A digit that begins a group: after no letter, digit or "_" (unless that ends an escape), and not
# the fraction of a decimal number.
_CARD_START = re.compile(
    r"\d(?:(?<![\dA-Za-z_]\d)|(?<=\\[bfnrt]\d)|(?<=\\u[0-9A-Fa-f]{4}\d))(?<!\d\.\d)"
)
_CARD_RUN = re.compile(r"\d(?:[ \-\u00a0\u2007\u202f\u2010-\u2015]?\d){12,18}")
_CARD_EDGE = re.compile(r"[\dA-Za-z_]")


def find_email(text: str, start: int) -> Place | None:
    """Return the first e-mail address that begins at or after `start`."""
    at = text.find("@", start + 1)

    while at != -1:
        begin = _local_begin(text, max(start, at - _LOCAL_LENGTH), at)

        if begin < at:
            domain = _DOMAIN.match(text, at + 1, at + 1 + _DOMAIN_LENGTH)

            if domain is not None:
                return begin, domain.end()

        at = text.find("@", at + 1)

    return None


def _local_begin(text: str, floor: int, at: int) -> int:
    run = _LOCAL_REVERSED.match(text[floor:at][::-1])

    if run is None:
        return at

    first = at - run.end()
    # An escape that reaches into the run is left whole, unless the run is nothing else.
    word = _WORD.search(text, _escape_end(text, first), at) or _WORD.search(text, first, at)
    return at if word is None else word.start()


def _escape_end(text: str, position: int) -> int:
    slash = text.rfind("\\", max(0, position - _ESCAPE_LENGTH + 1), position)
    escape = _ESCAPE.match(text, slash) if slash != -1 else None
    return position if escape is None else max(position, escape.end())


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


_RULES: dict[str, tuple[Callable[[str, int], Place | None], int, str]] = {
    # At one position an e-mail address goes before a card: its local part may be one.
    "email": (find_email, _EMAIL_SPAN, "[EMAIL]"),
    "card": (find_card, _CARD_SPAN, "[CARD]"),
}


class Pii(Plugin):
    """Finds e-mail addresses and payment card numbers."""

    name = "pii"
    kinds = frozenset({SegmentKind.TEXT, SegmentKind.TOOL_ARGUMENTS, SegmentKind.TOOL_RESULT})
    phases = frozenset(HookPhase)
    span = max(span for _, span, _ in _RULES.values())
    lookbehind = _ESCAPE_LENGTH
    config_schema: Mapping[str, Json] = {
        "type": "object",
        "properties": {
            "kinds": {
                "type": "array",
                "items": {"enum": ["email", "card"]},
                "minItems": 1,
                "uniqueItems": True,
            },
            "action": {"enum": ["mask", "deny"]},
            "mask": {
                "type": "object",
                "properties": {
                    "email": {"type": "string", "maxLength": 100},
                    "card": {"type": "string", "maxLength": 100},
                },
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
    }

    def __init__(self, config: JsonObject | None = None) -> None:
        super().__init__(config)
        kinds = self.config.get("kinds")
        masks = self.config.get("mask")
        chosen = kinds if isinstance(kinds, list) else list(_RULES)
        given = masks if isinstance(masks, dict) else {}
        is_denying = self.config.get("action") == "deny"
        self._finders = {rule: find for rule, (find, _, _) in _RULES.items() if rule in chosen}
        self._replacements = {
            rule: None if is_denying else str(given.get(rule, mask))
            for rule, (_, _, mask) in _RULES.items()
        }
        self.span = max(_RULES[rule][1] for rule in self._finders)

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        """Return the places of both rules, leftmost first; of two that overlap, the first."""
        findings: list[Finding] = []
        next_places: dict[str, Place] = {}
        position = start

        for rule, find in self._finders.items():
            place = find(text, position)

            if place is not None:
                next_places[rule] = place

        while next_places:
            rule = min(next_places, key=lambda name: next_places[name][0])
            begin, position = next_places[rule]
            findings.append(
                Finding(start=begin, end=position, rule=rule, replacement=self._replacements[rule])
            )
            self._move_on(text, position, next_places)

        return findings

    def _move_on(self, text: str, position: int, next_places: dict[str, Place]) -> None:
        for rule, (begin, _) in tuple(next_places.items()):
            if begin >= position:
                continue

            place = self._finders[rule](text, position)

            if place is None:
                del next_places[rule]
            else:
                next_places[rule] = place
