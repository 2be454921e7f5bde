"""The built-in plugin `regex`: an operator's own patterns, masked or refused.

Patterns run on RE2: whatever is written, matching takes linear time. A match has a bounded length
and may look at one character around it, so a stream is judged like a whole text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from spindle.plugins.builtin.re2_library import Pattern, compile_pattern
from spindle_spi.errors import InvalidArgument
from spindle_spi.plugin import Finding, HookPhase, Plugin, SegmentKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_spi.types import Json, JsonObject

_DEFAULT_LENGTH = 256
_MOST_LENGTH = 4096
_BLOCK = 4096
"""Characters searched at a time; RE2 takes a copy of what it searches."""

_SURROGATES = re.compile("[\ud800-\udfff]")
"""RE2 takes UTF-8 alone, which has none of them."""

# Outside of a class, and not escaped: what asks where a text begins or ends.
_ANCHOR = re.compile(r"\\[AzZ]|(?<!\\)(?:\\\\)*[\^$]")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]", re.DOTALL)
_QUOTED = re.compile(r"\\[^AzZ]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    pattern: Pattern
    length: int
    replacement: str | None

    def find(self, text: str, start: int) -> tuple[int, int] | None:
        """Return the first match that begins at or after `start`, cut off at its bound."""
        position = start

        while position <= len(text):
            begin = self._candidate(text, position)

            if begin is None:
                return None

            end = self._end(text, begin)

            if end is not None and end > begin:
                return begin, end

            position = begin + 1

        return None

    def _candidate(self, text: str, start: int) -> int | None:
        """Return the first place at or after `start` where some match may begin."""
        for at in range(start, len(text), _BLOCK):
            base = max(0, at - 1)
            window = text[base : at + _BLOCK + self.length + 1]
            found = self.pattern.search(window, at - base)

            if found is not None and base + found.start() < at + _BLOCK:
                return base + found.start()

        return None

    def _end(self, text: str, begin: int) -> int | None:
        base = max(0, begin - 1)
        window = text[base : begin + self.length + 1]
        bound = min(len(window), begin - base + self.length)
        found = self.pattern.match(window, begin - base, bound)
        return None if found is None else base + found.end()


class Regex(Plugin):
    """Finds what its rules describe; of two that begin together, the first rule counts."""

    name = "regex"
    kinds = frozenset({SegmentKind.TEXT, SegmentKind.TOOL_ARGUMENTS, SegmentKind.TOOL_RESULT})
    phases = frozenset(HookPhase)
    span = _MOST_LENGTH + 1
    lookbehind = 1
    config_schema: Mapping[str, Json] = {
        "type": "object",
        "properties": {
            "rules": {
                "type": "array",
                "minItems": 1,
                "maxItems": 100,
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"},
                        "pattern": {"type": "string", "minLength": 1, "maxLength": 1000},
                        "action": {"enum": ["mask", "deny"]},
                        "replacement": {"type": "string", "maxLength": 100},
                        "ignore_case": {"type": "boolean"},
                        "max_length": {"type": "integer", "minimum": 1, "maximum": _MOST_LENGTH},
                    },
                    "required": ["name", "pattern"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["rules"],
        "additionalProperties": False,
    }

    def __init__(self, config: JsonObject | None = None) -> None:
        """Compile the rules.

        Raises:
            InvalidArgument: A pattern is none of RE2's, or asks where a text begins or ends.
        """
        super().__init__(config)
        entries = cast("Sequence[Mapping[str, Json]]", self.config.get("rules", []))
        self._rules = [_rule(entry) for entry in entries]
        self.span = max((rule.length for rule in self._rules), default=1) + 1

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        """Return the matches of every rule, leftmost first; of two that overlap, the first."""
        plain = _SURROGATES.sub("\ufffd", text)
        places = {rule.name: rule.find(plain, start) for rule in self._rules}
        findings: list[Finding] = []

        while True:
            rule = min(
                (rule for rule in self._rules if places[rule.name] is not None),
                key=lambda rule: (places[rule.name] or (0, 0))[0],
                default=None,
            )
            place = None if rule is None else places[rule.name]

            if rule is None or place is None:
                return findings

            begin, end = place
            findings.append(
                Finding(start=begin, end=end, rule=rule.name, replacement=rule.replacement)
            )

            for other in self._rules:
                known = places[other.name]

                if known is not None and known[0] < end:
                    places[other.name] = other.find(plain, end)


def _rule(entry: Mapping[str, Json]) -> _Rule:
    name, pattern = str(entry["name"]), str(entry["pattern"])

    if _ANCHOR.search(_QUOTED.sub("_", _CLASS.sub("_", pattern))):
        raise InvalidArgument(
            f"The rule {name}: a stream has no beginning or end to look for; leave out ^, $, \\A"
            " and \\z, and use \\b.",
            code="plugin.regex.anchor",
        )

    length = entry.get("max_length", _DEFAULT_LENGTH)
    replacement = str(entry.get("replacement", f"[{name.upper()}]"))
    return _Rule(
        name=name,
        pattern=_compiled(name, pattern, ignores_case=entry.get("ignore_case") is True),
        length=length if isinstance(length, int) else _DEFAULT_LENGTH,
        replacement=None if entry.get("action") == "deny" else replacement,
    )


def _compiled(name: str, pattern: str, *, ignores_case: bool) -> Pattern:
    try:
        return compile_pattern(pattern, ignores_case=ignores_case)
    except InvalidArgument as exc:
        raise InvalidArgument(f"The rule {name}: {exc.message}", code=exc.code) from None
