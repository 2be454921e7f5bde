"""What names may look like, whoever gives them: the configuration, the API, a command."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NameRule:
    """A pattern, and the same in words."""

    pattern: re.Pattern[str]
    words: str

    def admits(self, name: str) -> bool:
        """Tell whether this may be a name."""
        return self.pattern.fullmatch(name) is not None


NAME = NameRule(
    re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"), "letters, digits, '.', '_' and '-', at most 63"
)
"""Of providers and gateways: other names begin with theirs."""
SLUG = NameRule(
    re.compile(r"[a-z0-9][a-z0-9_-]{0,62}"), "lower-case letters, digits, '_' and '-', at most 63"
)
"""Of virtual servers: a part of a path."""
TOOL = NameRule(
    re.compile(r"[A-Za-z0-9_-]{1,64}"), "letters, digits, '_' and '-', at most 64, as models take"
)
PREFIX = NameRule(
    re.compile(r"(?=.{1,20}$)[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*"),
    "letters and digits with single '_' or '-' between them, at most 20",
)
"""Of what a gateway's tools begin with in place of its name."""

_BEGINNING = re.compile(r"[A-Za-z0-9-]{0,12}")


def tool_beginning(prefix: str) -> str:
    """Return what names of a gateway's tools begin with, whatever was made fit of its prefix."""
    found = _BEGINNING.match(prefix)
    return "" if found is None else found.group()
