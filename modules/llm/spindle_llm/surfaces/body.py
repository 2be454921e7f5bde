"""The chat request of a client: read, bounded, judged by its top level, spliced; never rebuilt.

The top level is all that is looked at. What could make an upstream read another request than the
one that was judged (a key said twice, in another case, with escapes) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from spindle_llm.members import DuplicateKey, EscapedKeys, Members, locate, splice
from spindle_llm.relay.wire_json import request_too_deep
from spindle_llm.routing.defaults import missing_defaults
from spindle_spi.admission import Estimate
from spindle_spi.errors import InvalidArgument
from spindle_spi.types import Json, JsonObject, Receive

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CHOICES = 128

_GUARDED = frozenset(
    {"model", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "messages"}
)
"""The keys that are judged here, and that no variant may stand in for."""

_FOLDED_LENGTHS = frozenset(len(key) for key in _GUARDED)
_EMPTY_LIST = re.compile(rb"\[[ \t\r\n]*\]")
_IMAGE = b'"image_url"'
"""An image part says it twice: as its type and as a key."""

_SURROGATE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


class ClientGone(Exception):
    """The client left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat request whose top level holds to the rules; everything else is as it came."""

    body: bytes
    members: Members
    model: str | None
    stream: bool
    stream_options: JsonObject
    wants_usage: bool
    """The client of a stream asked for the usage chunk."""
    estimate: Estimate

    def encoded(self, model: str, defaults: Mapping[str, Json]) -> bytes:
        """Return the request under the upstream's model name, other bytes untouched."""
        values = {"model": msgspec.json.encode(model)}

        if self.stream:
            values["stream_options"] = msgspec.json.encode(
                {**self.stream_options, "include_usage": True}
            )

        for key, value in missing_defaults(defaults, self.members).items():
            values[key] = msgspec.json.encode(value)

        return splice(self.body, self.members, values)

    def parsed(self) -> JsonObject:
        """Return the whole request as plain data.

        Raises:
            InvalidArgument: It is nested too deeply, or holds numbers nobody can hold.
        """
        try:
            value: JsonObject = msgspec.json.decode(self.body)
        except RecursionError as exc:
            raise request_too_deep() from exc
        except msgspec.DecodeError as exc:
            raise _unreadable("The request body has a number that cannot be read.") from exc

        return value


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


def parse_chat(body: bytes) -> ChatRequest:
    """Judge the top level of a chat request.

    Raises:
        InvalidArgument: It breaks a rule; says which, and names the parameter.
    """
    members = _members(body)
    values = {key: _value(body, members, key) for key in _GUARDED if key in members}
    stream = _flag(values.get("stream"), "stream")
    options = _options(values.get("stream_options"))
    return ChatRequest(
        body=body,
        members=members,
        model=_model(values.get("model")),
        stream=stream,
        stream_options=options,
        wants_usage=stream and _flag(options.get("include_usage"), "stream_options.include_usage"),
        estimate=_estimate(body, values),
    )


def _members(body: bytes) -> Members:
    try:
        body.decode()
        members = locate(body)
    except UnicodeDecodeError as exc:
        raise _unreadable("The request body is not valid UTF-8.") from exc
    except RecursionError as exc:
        raise request_too_deep() from exc
    except DuplicateKey as exc:
        raise InvalidArgument(
            f"The request says {exc.key!r} twice.", code="llm.request.duplicate_key", param=exc.key
        ) from exc
    except msgspec.ValidationError as exc:
        raise _unreadable("The request body must be a JSON object.") from exc
    except msgspec.DecodeError as exc:
        raise _not_json(body) from exc

    _refuse_variants(members)

    if "messages" not in members:
        raise InvalidArgument(
            "The request has no messages.", code="llm.messages.missing", param="messages"
        )

    return members


def _refuse_variants(members: Members) -> None:
    """Refuse what a lenient upstream could read as one of the guarded keys."""
    for key in members:
        if key in _GUARDED or len(key) not in _FOLDED_LENGTHS:
            continue

        if key.casefold() in _GUARDED:
            raise _ambiguous(key)

    if isinstance(members, EscapedKeys):
        for key in members.escaped:
            if key.casefold() in _GUARDED:
                raise _ambiguous(key)


def _value(body: bytes, members: Members, key: str) -> Json:
    """Return a guarded value; of `messages` only whether there are any."""
    start, end = members[key]
    raw = body[start:end]

    if key == "messages":
        return _messages(raw)

    try:
        value: Json = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise _invalid(key, "cannot be read") from exc

    return value


def _messages(raw: bytes) -> Json:
    if raw[:1] != b"[":
        raise _invalid("messages", "must be a list")

    if _EMPTY_LIST.fullmatch(raw):
        raise InvalidArgument(
            "messages must not be empty (POL-LLM-003).",
            code="llm.messages.empty",
            param="messages",
        )

    return True


def _model(value: Json) -> str | None:
    if value is None:
        return None

    if not isinstance(value, str) or not value:
        raise _invalid("model", "must be a non-empty string")

    return value


def _flag(value: Json, name: str) -> bool:
    if value is None:
        return False

    if not isinstance(value, bool):
        raise _invalid(name, "must be true or false")

    return value


def _options(value: Json) -> JsonObject:
    if value is None:
        return {}

    if not isinstance(value, dict):
        raise _invalid("stream_options", "must be an object")

    return value


def _estimate(body: bytes, values: Mapping[str, Json]) -> Estimate:
    limits = [
        limit
        for key in ("max_tokens", "max_completion_tokens")
        if (limit := _count(values.get(key), key)) is not None
    ]
    choices = _count(values.get("n"), "n")

    if choices is not None and choices > MAX_CHOICES:
        raise _invalid("n", f"must be at most {MAX_CHOICES}")

    return Estimate(
        input_bytes=len(body),
        max_output_tokens=max(limits, default=None),
        choices=choices or 1,
        images=(body.count(_IMAGE) + 1) // 2,
    )


def _count(value: Json, name: str) -> int | None:
    if value is None:
        return None

    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _invalid(name, "must be a whole number of at least 1")

    return value


def _invalid(name: str, rule: str) -> InvalidArgument:
    return InvalidArgument(
        f"{name} {rule}.", code=f"llm.{name.partition('.')[0]}.invalid", param=name
    )


def _ambiguous(key: str) -> InvalidArgument:
    return InvalidArgument(
        f"The key {key!r} must be written plainly, in lower case and without escapes.",
        code="llm.request.ambiguous_key",
        param=key,
    )


def _unreadable(message: str) -> InvalidArgument:
    return InvalidArgument(message, code="llm.request.invalid_json")


def _not_json(body: bytes) -> InvalidArgument:
    escapes = _SURROGATE.finditer(body.decode()) if b"\\u" in body else ()

    if any(escape[1] for escape in escapes):
        return _unreadable("The request body has half of a surrogate pair in a string.")

    return _unreadable("The request body is not valid JSON.")
