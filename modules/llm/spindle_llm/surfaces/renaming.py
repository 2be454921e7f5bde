"""The unified model name in place of the upstream's, in bytes that otherwise stay as they are."""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

_MODEL = re.compile(rb'"model"[ \t\r\n]*:[ \t\r\n]*"[^"\\]*(?:\\.[^"\\]*)*"')


def rename_model(data: bytes, model: str) -> bytes | None:
    """Return the JSON text under another model name; None when it has to be parsed for that.

    None said: the key is written with escapes. Said twice: one of them is something else's.
    """
    first = _MODEL.search(data)

    if first is None or _MODEL.search(data, first.end()) or not is_text(data):
        return None

    return b"".join((data[: first.start()], model_member(model), data[first.end() :]))


@lru_cache(maxsize=1024)
def model_member(model: str) -> bytes:
    """Return the member that names a model."""
    return b'"model":' + msgspec.json.encode(model)


def is_text(data: bytes) -> bool:
    """Tell whether bytes are valid UTF-8."""
    if data.isascii():
        return True

    try:
        data.decode()
    except UnicodeDecodeError:
        return False

    return True
