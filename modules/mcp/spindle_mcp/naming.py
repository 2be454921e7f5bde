"""How what an upstream offers is called in the catalog: always prefixed, the same after a restart.

A name depends on the gateway's prefix, the upstream's own name and the limit, on nothing else: not
on the order of a list, nor on other gateways. Decision 10 has the rules.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Final

SEPARATOR: Final = "__"
MAX_LENGTH: Final = 64
"""What models take. Some clients put words of their own before it: see `mcp.name_length`."""
MIN_LENGTH: Final = 40
"""The lowest limit there may be: below it nothing would be left of a name but its hash."""

_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]")
_RUNS: Final = re.compile(r"_{2,}")
_HASH_LENGTH: Final = 10
"""Characters of five bits each: of ten thousand shortened names, two are one in 2 * 10^7 cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How the things of one gateway are called."""

    gateway: str
    prefix: str
    """The gateway's name, unless it declares another one."""
    limit: int = MAX_LENGTH

    def unified(self, name: str) -> str:
        """Return the catalog's name of what the upstream calls `name`."""
        return unified_name(self.prefix, name, self.limit)


def unified_name(prefix: str, name: str, limit: int = MAX_LENGTH) -> str:
    """Return the catalog's name of what an upstream calls `name`: `<prefix>__<name>`.

    Each side that clients would refuse, or that is too long, is made fit and told apart by a piece
    of its hash.
    """
    before = _fit_prefix(prefix, limit)
    return f"{before}{SEPARATOR}{bare_name(name, limit - len(before) - len(SEPARATOR))}"


def bare_name(name: str, limit: int = MAX_LENGTH) -> str:
    """Return an upstream's own name as clients take it, for lists of one upstream alone."""
    if 0 < len(name) <= limit and not _UNFIT.search(name):
        return name

    return _shortened(_UNFIT.sub("_", name), name, limit)


def _fit_prefix(prefix: str, limit: int) -> str:
    """Return a prefix without a separator in it, so that the first one always divides a name."""
    longest = limit // 2
    fit = _RUNS.sub("_", _UNFIT.sub("-", prefix)).rstrip("_")

    if fit == prefix and 0 < len(prefix) <= longest:
        return prefix

    return _shortened(fit.replace("_", "-"), prefix, longest, joint="-")


def _shortened(fit: str, name: str, limit: int, joint: str = "_") -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    mark = base64.b32encode(digest).decode().lower()[:_HASH_LENGTH]
    return f"{fit[: limit - _HASH_LENGTH - 1]}{joint}{mark}"
