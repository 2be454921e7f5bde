"""The built-in plugin `pii`: what identifies people, and secrets, masked or refused.

Each rule is defined per position: whether something starts at `i` depends only on
`text[i - 6 : i + span]`, so a stream is judged like a whole text. The reference page says what
counts. The patterns need look-arounds and take lone surrogates, which RE2 has not; each is linear:
every repetition is over a set of characters disjoint from what follows it, or bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.plugins.builtin.pii.card import CARD_SPAN, find_card
from spindle.plugins.builtin.pii.email import EMAIL_SPAN, find_email
from spindle.plugins.builtin.pii.iban import IBAN_SPAN, find_iban
from spindle.plugins.builtin.pii.phone import PHONE_SPAN, find_phone
from spindle.plugins.builtin.pii.place import ESCAPE_LENGTH
from spindle.plugins.builtin.pii.secret import SECRET_SPAN, find_secret
from spindle_spi.plugin import Finding, HookPhase, Plugin, SegmentKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spindle.plugins.builtin.pii.place import Place
    from spindle_spi.types import Json, JsonObject

_RULES: dict[str, tuple[Callable[[str, int], Place | None], int, str]] = {
    # At one position an e-mail address goes before a card: its local part may be one.
    "email": (find_email, EMAIL_SPAN, "[EMAIL]"),
    "card": (find_card, CARD_SPAN, "[CARD]"),
    "iban": (find_iban, IBAN_SPAN, "[IBAN]"),
    "phone": (find_phone, PHONE_SPAN, "[PHONE]"),
    "secret": (find_secret, SECRET_SPAN, "[SECRET]"),
}


class Pii(Plugin):
    """Finds addresses, numbers and keys that belong to somebody."""

    name = "pii"
    kinds = frozenset({SegmentKind.TEXT, SegmentKind.TOOL_ARGUMENTS, SegmentKind.TOOL_RESULT})
    phases = frozenset(HookPhase)
    span = max(span for _, span, _ in _RULES.values())
    lookbehind = ESCAPE_LENGTH
    config_schema: Mapping[str, Json] = {
        "type": "object",
        "properties": {
            "kinds": {
                "type": "array",
                "items": {"enum": [*_RULES]},
                "minItems": 1,
                "uniqueItems": True,
            },
            "action": {"enum": ["mask", "deny"]},
            "mask": {
                "type": "object",
                "properties": {rule: {"type": "string", "maxLength": 100} for rule in _RULES},
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
        """Return the places of every rule, leftmost first; of two that overlap, the first."""
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
