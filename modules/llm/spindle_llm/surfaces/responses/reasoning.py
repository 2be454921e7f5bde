"""Signed or encrypted reasoning, sealed for the way through a client that only hands it back."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec

from spindle_llm.relay.wire_json import UNREADABLE, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.types import Json, JsonObject

_OURS = "spindle.1."
"""Begins an `encrypted_content` that this surface made."""


def sealed(details: Sequence[JsonObject]) -> str | None:
    """Return reasoning details as an `encrypted_content`; None when nothing needs to be kept."""
    kept = [entry for entry in details if entry.get("signature") or entry.get("data")]

    if not kept:
        return None

    return _OURS + base64.urlsafe_b64encode(encode({"details": [*kept]})).decode()


def details_of(content: Json) -> list[JsonObject]:
    """Return the reasoning details in an `encrypted_content`; none when somebody else made it."""
    if not isinstance(content, str) or not content.startswith(_OURS):
        return []

    try:
        value: Json = msgspec.json.decode(base64.urlsafe_b64decode(content[len(_OURS) :]))
    except (*UNREADABLE, binascii.Error):
        return []

    details = value.get("details") if isinstance(value, dict) else None
    return (
        [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []
    )
