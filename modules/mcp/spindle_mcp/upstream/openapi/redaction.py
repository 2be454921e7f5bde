"""Keeps a credential out of what an API says: some say back what they were asked with."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from spindle_spi.secret import Secret

_SHORTEST: Final = 8
"""Pieces shorter than this are in any text; masking them would spoil what was asked for."""
_SHORTEST_IN_REFUSAL: Final = 4
_MASK: Final = b"***"


def redacted(data: bytes, credential: Secret | None, *, is_refusal: bool) -> bytes:
    """Return what an API said without the credential, in any form it was sent in."""
    if credential is None:
        return data

    shortest = _SHORTEST_IN_REFUSAL if is_refusal else _SHORTEST

    for form in _forms(credential.reveal(), shortest):
        if form in data:
            data = data.replace(form, _MASK)

    return data


def _forms(secret: str, shortest: int) -> list[bytes]:
    user, separator, password = secret.partition(":")
    pieces = {secret, password} if separator else {secret}
    forms: set[str] = set()

    for piece in pieces:
        forms |= {piece, quote(piece, safe=""), quote_plus(piece)}
        forms |= {json.dumps(piece)[1:-1], json.dumps(piece, ensure_ascii=False)[1:-1]}
        forms.add(base64.b64encode(piece.encode()).decode())

    pair = secret if separator else f"{user}:"
    forms.add(base64.b64encode(pair.encode()).decode())
    long_enough = [form.encode() for form in forms if len(form) >= shortest]
    # The longest first, or a part of one would leave the rest of it.
    return sorted(long_enough, key=len, reverse=True)
