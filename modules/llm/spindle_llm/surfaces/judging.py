"""The body of a client's request: read, bounded, and judged by its top level alone.

What could make an upstream read another request than the one that was judged (a key said twice, in
another case, with escapes) is refused. Each surface says which keys it guards like that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from spindle_llm.members import DuplicateKey, EscapedKeys, Members, locate
from spindle_llm.relay.wire_json import request_too_deep
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from spindle_spi.types import Json, JsonObject, Receive

_SURROGATE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class ClientGone(Exception):
    """The client left."""


async def read_body(receive: Receive) -> bytes:
    """Return the whole body; the host bounds it.

    Raises:
        ClientGone: The client left before its end.
        PayloadTooLarge: It is bigger than the route takes.
    """
    message = await receive()

    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        return whole

    pieces: list[bytes] = []

    while message["type"] == "http.request":
        pieces.append(message.get("body", b""))

        if not message.get("more_body", False):
            return b"".join(pieces)

        message = await receive()

    raise ClientGone


def judged_members(body: bytes, guarded: AbstractSet[str]) -> Members:
    """Return the place of every top-level value of a JSON object.

    Raises:
        InvalidArgument: It is none, or a guarded key could be read in two ways.
    """
    try:
        body.decode()
        members = locate(body)
    except UnicodeDecodeError as exc:
        raise unreadable("The request body is not valid UTF-8.") from exc
    except RecursionError as exc:
        raise request_too_deep() from exc
    except DuplicateKey as exc:
        raise InvalidArgument(
            f"The request says {exc.key!r} twice.", code="llm.request.duplicate_key", param=exc.key
        ) from exc
    except msgspec.ValidationError as exc:
        raise unreadable("The request body must be a JSON object.") from exc
    except msgspec.DecodeError as exc:
        raise _not_json(body) from exc

    _refuse_variants(members, guarded)
    return members


def judged_value(body: bytes, members: Members, key: str) -> Json:
    """Return one top-level value; None when it is not there.

    Raises:
        InvalidArgument: It cannot be read.
    """
    span = members.get(key)

    if span is None:
        return None

    try:
        value: Json = msgspec.json.decode(body[span[0] : span[1]])
    except (msgspec.DecodeError, RecursionError) as exc:
        raise invalid(key, "cannot be read") from exc

    return value


def whole_object(body: bytes) -> JsonObject:
    """Return a whole request, whose top level was judged, as plain data.

    Raises:
        InvalidArgument: It is nested too deeply, or holds numbers nobody can hold.
    """
    try:
        value: JsonObject = msgspec.json.decode(body)
    except RecursionError as exc:
        raise request_too_deep() from exc
    except msgspec.DecodeError as exc:
        raise unreadable("The request body has a number that cannot be read.") from exc

    return value


def model_of(value: Json) -> str | None:
    """Return the name of a model; None when the request gives none."""
    if value is None:
        return None

    if not isinstance(value, str) or not value:
        raise invalid("model", "must be a non-empty string")

    return value


def flag_of(value: Json, name: str) -> bool:
    """Return a switch; off when it is not given."""
    if value is None:
        return False

    if not isinstance(value, bool):
        raise invalid(name, "must be true or false")

    return value


def object_of(value: Json, name: str) -> JsonObject:
    """Return an object; empty when it is not given."""
    if value is None:
        return {}

    if not isinstance(value, dict):
        raise invalid(name, "must be an object")

    return value


def count_of(value: Json, name: str) -> int | None:
    """Return a whole number of at least 1; None when it is not given."""
    if value is None:
        return None

    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise invalid(name, "must be a whole number of at least 1")

    return value


def invalid(name: str, rule: str) -> InvalidArgument:
    """Return the refusal of a parameter that breaks a rule."""
    return InvalidArgument(
        f"{name} {rule}.", code=f"llm.{name.partition('.')[0]}.invalid", param=name
    )


def unreadable(message: str) -> InvalidArgument:
    """Return the refusal of a body that is no JSON object."""
    return InvalidArgument(message, code="llm.request.invalid_json")


def _refuse_variants(members: Members, guarded: AbstractSet[str]) -> None:
    """Refuse what a lenient upstream could read as one of the guarded keys."""
    for key in members:
        if key not in guarded and key.casefold() in guarded:
            raise _ambiguous(key)

    if isinstance(members, EscapedKeys):
        for key in members.escaped:
            if key.casefold() in guarded:
                raise _ambiguous(key)


def _ambiguous(key: str) -> InvalidArgument:
    return InvalidArgument(
        f"The key {key!r} must be written plainly, in lower case and without escapes.",
        code="llm.request.ambiguous_key",
        param=key,
    )


def _not_json(body: bytes) -> InvalidArgument:
    escapes = _SURROGATE.finditer(body.decode()) if b"\\u" in body else ()

    if any(escape[1] for escape in escapes):
        return unreadable("The request body has half of a surrogate pair in a string.")

    return unreadable("The request body is not valid JSON.")
