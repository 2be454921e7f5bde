"""How an upstream's tool is called in the catalog: always prefixed, the same after any restart."""

from __future__ import annotations

import hashlib
import re

SEPARATOR = "__"
MAX_LENGTH = 128
"""The protocol advises names of at most this many characters."""

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")
_HASH_LENGTH = 8


def unified_name(gateway: str, tool: str) -> str:
    """Return the catalog's name of an upstream's tool.

    A name with characters that clients refuse, or too long a name, is made fit and keeps apart
    from its neighbours by a piece of its hash. It depends on nothing but the two names.
    """
    name = f"{gateway}{SEPARATOR}{tool}"
    fit = _UNFIT.sub("_", name)

    if fit == name and len(name) <= MAX_LENGTH:
        return name

    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{fit[: MAX_LENGTH - _HASH_LENGTH - 1]}_{digest}"
