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


def without_stale_signatures(before: JsonObject, after: JsonObject) -> None:
    """Take the signature off every thought whose text was changed: it no longer fits.

    Both are messages, the second the first as plugins left it; that one is changed in place.
    """
    old, new = before.get(DETAILS), after.get(DETAILS)

    if old is new or not isinstance(old, list) or not isinstance(new, list):
        return

    entries: list[Json] = []

    for was, entry in zip(old, new, strict=True):
        if (
            isinstance(was, dict)
            and isinstance(entry, dict)
            and was.get("text") != entry.get("text")
        ):
            entry = {name: value for name, value in entry.items() if name != "signature"}

        entries.append(entry)

    after[DETAILS] = entries
