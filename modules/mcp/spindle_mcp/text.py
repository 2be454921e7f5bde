"""JSON as both sides of the module write and read it: exact numbers, no NaN, any string."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from spindle_spi.types import Json


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


# ASCII only, so that a lone surrogate an upstream escaped stays writable.
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse)


def encode(value: Json) -> bytes:
    """Return a JSON value as bytes.

    Raises:
        ValueError: It holds a number that JSON has no word for.
    """
    return _ENCODER.encode(value).encode()


def decode(data: bytes | bytearray) -> Json:
    """Return the JSON value bytes stand for.

    Raises:
        ValueError: Not UTF-8, not JSON, or nested too deeply to be read.
    """
    try:
        value: Json = _DECODER.decode(data.decode())
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc

    return value
