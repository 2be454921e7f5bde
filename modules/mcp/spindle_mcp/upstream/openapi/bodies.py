"""Request bodies: which of the document's media types is used, and how arguments become bytes."""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from spindle_mcp.upstream.openapi.faults import LeftOut
from spindle_mcp.upstream.openapi.parameters import Parameter
from spindle_mcp.upstream.openapi.references import References, Unresolvable
from spindle_mcp.upstream.openapi.serialising import as_json, plain, query_pairs
from spindle_spi.errors import InvalidArgument
from spindle_spi.types import Json, JsonObject

FORM: Final = "application/x-www-form-urlencoded"
PARTS: Final = "multipart/form-data"
_TEXT: Final = "text/plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What an operation takes as its body."""

    media_type: str
    schema: Json
    required: bool
    description: str | None
    binary: frozenset[str]
    """Parts that are files: their arguments are base64."""
    encoding: JsonObject


def read_body(references: References, said: Json) -> Body | None:
    """Return the body of an operation: JSON where it takes that, else a form, else text.

    Raises:
        LeftOut: It cannot be read, or has to be of a type that is not supported.
    """
    if said is None:
        return None

    try:
        body = references.followed(said)
    except Unresolvable as exc:
        raise LeftOut("its body cannot be resolved") from exc

    content, description = body.get("content"), body.get("description")
    types = content if isinstance(content, dict) else {}
    chosen = min((t for t in types if _rank(t) is not None), key=_by_rank, default=None)

    if chosen is None:
        if body.get("required") is True:
            raise LeftOut("its body is of a type that is not supported")

        return None

    media = types[chosen]
    members: JsonObject = media if isinstance(media, dict) else {}
    schema, encoding = members.get("schema"), members.get("encoding")
    return Body(
        media_type="application/json" if chosen == "*/*" else chosen,
        schema=schema,
        required=body.get("required") is True,
        description=description if isinstance(description, str) else None,
        binary=_binary_parts(references, schema),
        encoding=encoding if isinstance(encoding, dict) else {},
    )


def encoded_body(body: Body, value: Json) -> tuple[str, bytes]:
    """Return the content type and the bytes of a body.

    Raises:
        InvalidArgument: The value cannot be said in this type.
    """
    kind = essence(body.media_type)

    if kind == _TEXT:
        return f"{_TEXT}; charset=utf-8", plain(value).encode()

    if kind not in (FORM, PARTS):
        return body.media_type, as_json(value).encode()

    if not isinstance(value, dict):
        raise InvalidArgument("The body must be an object.", param="body")

    if kind == FORM:
        pairs = [pair for name, each in value.items() for pair in _form_pairs(body, name, each)]
        return FORM, "&".join(f"{name}={each}" for name, each in pairs).encode()

    return _parts(body, value)


def essence(media_type: str) -> str:
    """Return a media type without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    """Tell whether a media type is JSON."""
    kind = essence(media_type)
    return kind == "application/json" or kind.endswith("+json") or kind == "text/json"


def _rank(media_type: str) -> int | None:
    kind = essence(media_type)

    if kind == "application/json":
        return 0

    if is_json(kind):
        return 1

    return {FORM: 2, PARTS: 3, "*/*": 4, "application/*": 4, _TEXT: 5}.get(kind)


def _by_rank(media_type: str) -> tuple[int, str]:
    rank = _rank(media_type)
    return (99 if rank is None else rank, media_type)


def _form_pairs(body: Body, name: str, value: Json) -> list[tuple[str, str]]:
    said = body.encoding.get(name)
    encoding = said if isinstance(said, dict) else {}
    style, explode = encoding.get("style", "form"), encoding.get("explode")
    is_styled = "style" in encoding or "explode" in encoding
    parameter = Parameter(
        argument=name,
        name=name,
        place="query",
        style=style if style in ("spaceDelimited", "pipeDelimited", "deepObject") else "form",
        explode=explode if isinstance(explode, bool) else style == "form",
        required=False,
        schema={},
        # Where nothing is said of it, a structure goes as JSON.
        is_json=isinstance(value, dict) and not is_styled,
    )
    return query_pairs(parameter, value)


def _parts(body: Body, value: JsonObject) -> tuple[str, bytes]:
    boundary = secrets.token_hex(16)
    lines: list[bytes] = []

    for name, each in value.items():
        values = each if isinstance(each, list) else [each]

        for part in values:
            quoted = quote(name, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~")
            head = f'content-disposition: form-data; name="{quoted}"'
            kind, content = "text/plain; charset=utf-8", b""

            if name in body.binary:
                kind, head = "application/octet-stream", f'{head}; filename="{quoted}"'
                content = _decoded(name, part)
            elif isinstance(part, dict | list):
                kind, content = "application/json", as_json(part).encode()
            elif part is not None:
                content = plain(part).encode()

            lines += [f"--{boundary}\r\n{head}\r\ncontent-type: {kind}\r\n\r\n".encode()]
            lines += [content, b"\r\n"]

    lines.append(f"--{boundary}--\r\n".encode())
    return f"{PARTS}; boundary={boundary}", b"".join(lines)


def _decoded(name: str, value: Json) -> bytes:
    try:
        return base64.b64decode(plain(value), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidArgument(f"{name}: a file is given as base64.", param=name) from exc


def _binary_parts(references: References, schema: Json) -> frozenset[str]:
    try:
        properties = references.followed(schema).get("properties")
    except Unresolvable:
        return frozenset()

    found: set[str] = set()

    for name, part in properties.items() if isinstance(properties, dict) else ():
        item = part.get("items") if isinstance(part, dict) and "items" in part else part
        is_file = isinstance(item, dict) and (
            item.get("format") == "binary" or item.get("contentMediaType") == _BYTES
        )

        if is_file:
            found.add(name)

    return frozenset(found)


_BYTES: Final = "application/octet-stream"
