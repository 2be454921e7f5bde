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
    re.compile(r"[A-Za-z0-9_.-]{1,128}"), "letters, digits, '_', '.' and '-', at most 128"
)
