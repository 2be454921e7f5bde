"""Where the top-level members of a JSON object stand in its bytes, and replacing some of them.

Nothing below the top level is parsed into objects, and every byte that is not replaced stays.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

Span: TypeAlias = tuple[int, int]
"""Start and end of a value in the bytes of its object."""

Members: TypeAlias = dict[str, Span]

_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_END = re.compile(rb"[ \t\r\n]*(?:\{[ \t\r\n]*)?\}[ \t\r\n]*")
_KEY = re.compile(rb'[ \t\r\n{,]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t\r\n]*:[ \t\r\n]*')


class DuplicateKey(ValueError):
    """An object says the same key twice, so that readers may differ in what they see."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class EscapedKeys(Members):
    """Members of an object that writes some of its keys with escapes."""

    def __init__(self, members: Members, escaped: frozenset[str]) -> None:
        super().__init__(members)
        self.escaped = escaped


def locate(body: bytes) -> Members:
    """Return the place of every top-level value; `EscapedKeys` when some key has an escape.

    The decoder alone keeps the last of two equal keys and folds escapes, so its result is
    compared with the bytes: key by key, value by value, nothing between and nothing left.

    Raises:
        DuplicateKey: A key stands there twice.
        msgspec.DecodeError: Not JSON, or not an object.
        RecursionError: Nested too deeply.
    """
    members: Members = {}
    escaped: list[str] = []
    position = 0

    for key, raw in _RAW.decode(body).items():
        match = _KEY.match(body, position)
        value = bytes(raw)

        if match is None:
            raise DuplicateKey(_twice(body))

        written = match[1]
        start = match.end()
        position = start + len(value)

        if written != key.encode():
            if b"\\" not in written or json.loads(b'"' + written + b'"') != key:
                raise DuplicateKey(_twice(body))

            escaped.append(key)

        if body[start:position] != value:
            raise DuplicateKey(_twice(body))

        members[key] = (start, position)

    if _END.fullmatch(body, position) is None:
        raise DuplicateKey(_twice(body))

    return EscapedKeys(members, frozenset(escaped)) if escaped else members


def splice(body: bytes, members: Members, values: Mapping[str, bytes]) -> bytes:
    """Return the object with these values: in the place of the old ones, new ones in front."""
    edits = [(*members[key], value) for key, value in values.items() if key in members]
    new = [
        json.dumps(key).encode() + b":" + value
        for key, value in values.items()
        if key not in members
    ]

    if new:
        at = body.index(b"{") + 1
        edits.append((at, at, b",".join(new) + (b"," if members else b"")))

    edits.sort(key=lambda edit: edit[0])
    pieces: list[bytes] = []
    position = 0

    for start, end, value in edits:
        pieces += (body[position:start], value)
        position = end

    pieces.append(body[position:])
    return b"".join(pieces)


def _twice(body: bytes) -> str:
    """Return a key that the top level says twice: the slow look, for the message only."""
    found: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        keys = [key for key, _ in pairs]
        found[:] = [key for position, key in enumerate(keys) if key in keys[:position]][:1]

    # The hook sees inner objects first: what it noted last is the top level.
    with suppress(ValueError):
        json.loads(body, object_pairs_hook=note)

    return found[0] if found else ""
