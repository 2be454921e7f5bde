"""API tokens: how one is made and how its text becomes what is stored. Never the text itself."""

from __future__ import annotations

import hashlib
import secrets

from spindle_spi.secret import Secret

_MARK = "spn_"
_BYTES = 32
PREFIX_LENGTH = 12
"""Characters of the text that may be shown to tell tokens apart."""


def mint() -> tuple[Secret, str, str]:
    """Return a new token: its text, the prefix that may be shown, and the hash to store."""
    text = _MARK + secrets.token_urlsafe(_BYTES)
    return Secret(text), text[:PREFIX_LENGTH], hash_token(text)


def hash_token(text: str) -> str:
    """Return the SHA-256 of a token's text, in hex."""
    # No salt and no stretching: the text carries 256 random bits, there is nothing to guess.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
