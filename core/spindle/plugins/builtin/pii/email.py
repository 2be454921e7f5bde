"""E-mail addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from spindle.plugins.builtin.pii.place import escape_end

if TYPE_CHECKING:
    from spindle.plugins.builtin.pii.place import Place

_LOCAL_LENGTH = 64
_DOMAIN_LENGTH = 253

EMAIL_SPAN: Final = _LOCAL_LENGTH + 1 + _DOMAIN_LENGTH

# Runs from the "@" to the left, over reversed text.
_LOCAL_REVERSED = re.compile(r"[\w\u0300-\u036f.%+'&~-]+")
_DOMAIN = re.compile(
    r"(?:[\w\u0300-\u036f-]{1,63}\.)+(?:[xX][nN]--[A-Za-z0-9-]{1,59}|[^\W\d_]{2,63})"
)
_WORD = re.compile(r"\w")


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
    word = _WORD.search(text, escape_end(text, first), at) or _WORD.search(text, first, at)
    return at if word is None else word.start()
