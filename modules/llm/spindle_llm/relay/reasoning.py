"""Signed and sealed thoughts in the lingua franca: `reasoning_details`, beside the plain text.

A list of `{"type": "reasoning.text", "text", "signature", "format", "index"}` and of
`{"type": "reasoning.encrypted", "data", "format", "index"}`. In a stream each delta holds pieces
of entries: those of one `index` belong together, their texts and signatures in a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

FORMAT: Final = "anthropic-claude-v1"
"""What the thoughts of Anthropic's models are in."""

DETAILS: Final = "reasoning_details"
_GROWING: Final = frozenset({"text", "summary", "signature", "data"})


def merge_details(into: JsonObject, pieces: Json) -> None:
    """Add the pieces of one delta to a message's `reasoning_details`, in place."""
    known = into.get(DETAILS)
    entries: list[Json] = known if isinstance(known, list) else []
    into[DETAILS] = entries

    for piece in pieces if isinstance(pieces, list) else ():
        if not isinstance(piece, dict):
            continue

        entry = _entry(entries, piece)

        for name, value in piece.items():
            old = entry.get(name)

            if name in _GROWING and isinstance(old, str) and isinstance(value, str):
                entry[name] = old + value
            elif value is not None or name not in entry:
                entry[name] = value


def _entry(entries: list[Json], piece: JsonObject) -> JsonObject:
    """Return the entry that a piece goes on with; a new one where it begins one."""
    index = piece.get("index")

    for entry in entries if index is not None else ():
        if isinstance(entry, dict) and entry.get("index") == index:
            return entry

    new: JsonObject = {}
    entries.append(new)
    return new


def without_stale_signatures(before: Json, after: Json) -> None:
    """Take the signature off every thought whose text was changed: it no longer fits.

    Both are lists of messages, the second as plugins left it; what changed there is a copy, and is
    changed in place.
    """
    if after is before or not isinstance(before, list) or not isinstance(after, list):
        return

    for was, message in zip(before, after, strict=False):
        if message is not was and isinstance(was, dict) and isinstance(message, dict):
            _check_signatures(was.get(DETAILS), message)


def _check_signatures(old: Json, message: JsonObject) -> None:
    new = message.get(DETAILS)

    if old is new or not isinstance(old, list) or not isinstance(new, list):
        return

    message[DETAILS] = [
        entry
        if entry is was or not isinstance(entry, dict)
        else {name: value for name, value in entry.items() if name != "signature"}
        for was, entry in zip(old, new, strict=False)
    ]
