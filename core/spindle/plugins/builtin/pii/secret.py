"""Secrets: keys by the prefixes their makers gave them, and words that look like chance.

Of a word longer than `_LONGEST` its beginning is taken: what is left opens nothing, and a verdict
goes on to depend on a bounded stretch of text.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from spindle.plugins.builtin.pii.place import ends_escape, escape_end

if TYPE_CHECKING:
    from spindle.plugins.builtin.pii.place import Place

_LONGEST = 256
"""Characters of one finding."""
_SHORTEST = 28
"""Of a word without a known prefix."""
_LEAST_ENTROPY = 4.1
"""Bits for each character; English words joined together have less than 3.9."""

SECRET_SPAN: Final = _LONGEST + 3

_KNOWN = re.compile(
    r"sk-(?:ant-|proj-|or-)?[\w-]{16,120}"
    r"|sp[nsi]_[\w-]{20,120}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|gh[opsur]_[A-Za-z0-9]{36,120}"
    r"|github_pat_\w{22,120}"
    r"|glpat-[\w-]{20,64}"
    r"|xox[abeoprs]-[\w-]{10,120}"
    r"|AIza[\w-]{35}"
    r"|ya29\.[\w-]{20,120}"
    r"|hf_[A-Za-z0-9]{30,64}"
    r"|npm_[A-Za-z0-9]{36}"
    r"|pypi-[\w-]{50,120}"
    r"|[rsp]k_(?:live|test)_[A-Za-z0-9]{16,120}"
    r"|SG\.[\w-]{16,64}\.[\w-]{16,64}"
    r"|eyJ[\w-]{10,100}(?:\.[\w-]{1,50})?"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----",
    re.ASCII,
)
_WORD = re.compile(rf"[\w+/-]{{{_SHORTEST},{_LONGEST}}}={{0,2}}", re.ASCII)
_LETTER = re.compile(r"[\w+/-]", re.ASCII)


def find_secret(text: str, start: int) -> Place | None:
    """Return the first secret that begins at or after `start`."""
    places = [
        place for place in (_find_known(text, start), _find_word(text, start)) if place is not None
    ]
    # Of two that begin at one place, the longer.
    return min(places, key=lambda place: (place[0], -place[1]), default=None)


def _find_known(text: str, start: int) -> Place | None:
    position = start

    while (found := _KNOWN.search(text, position)) is not None:
        if _begins(text, found.start()):
            return found.span()

        position = found.start() + 1

    return None


def _find_word(text: str, start: int) -> Place | None:
    for found in _WORD.finditer(text, start):
        end = found.end()
        # An escape that reaches into the word is left whole.
        begin = max(found.start(), escape_end(text, found.start()))

        if not _begins(text, begin) or end - begin < _SHORTEST:
            continue

        if _looks_random(text[begin:end]):
            return begin, end

    return None


def _begins(text: str, begin: int) -> bool:
    is_inside = begin > 0 and _LETTER.match(text, begin - 1) is not None
    return not is_inside or ends_escape(text, begin)


def _looks_random(word: str) -> bool:
    has_cases = any(map(str.isupper, word)) and any(map(str.islower, word))

    if not has_cases or sum(map(str.isdigit, word)) < 3:
        return False

    total = len(word)
    counts = Counter(word).values()
    return -sum(count / total * math.log2(count / total) for count in counts) >= _LEAST_ENTROPY
