"""JSON as upstreams send it: strict, except that half a surrogate pair becomes U+FFFD."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from spindle_spi.errors import InvalidArgument, UpstreamError

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What the decoder raises for text that is no JSON."""

_OBJECT: msgspec.json.Decoder[JsonObject] = msgspec.json.Decoder(dict)


def read_object(data: bytes) -> tuple[JsonObject, bytes]:
    """Return the JSON object an upstream sent, and its text, mended where it had to be.

    Raises:
        UpstreamError: It is no JSON object.
    """
    try:
        return _OBJECT.decode(data), data
    except UNREADABLE as exc:
        mended = _mend(data)

        if mended == data:
            raise _garbage() from exc

    try:
        return _OBJECT.decode(mended), mended
    except UNREADABLE as exc:
        raise _garbage() from exc


def encode(value: JsonObject) -> bytes:
    """Return plain data as compact JSON bytes."""
    return msgspec.json.encode(value)


def request_too_deep() -> InvalidArgument:
    """Return the refusal of a request that overflows whoever looks at all of it."""
    return InvalidArgument(
        "The request body is nested too deeply.", code="llm.request.invalid_json"
    )


def answer_too_deep() -> UpstreamError:
    """Return the refusal of such an answer."""
    return UpstreamError("The upstream's answer is nested too deeply.", code="upstream_garbage")


def _mend(data: bytes) -> bytes:
    if b"\\u" not in data:
        return data

    return _ESCAPE.sub(lambda match: b"\\ufffd" if match[1] else match[0], data)


def _garbage() -> UpstreamError:
    return UpstreamError("The upstream sent something that is not JSON.", code="upstream_garbage")
