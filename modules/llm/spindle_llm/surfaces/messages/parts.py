"""Anthropic's content blocks as parts of a message in the lingua franca."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final

from spindle_llm.providers.extensions import NATIVE_PARTS
from spindle_spi.errors import InvalidArgument, Unsupported

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_CACHE: Final = "cache_control"
_PLAIN_DOCUMENT: Final = frozenset({"type", "source", "title", _CACHE})
_PDF: Final = "application/pdf"


def part_of(block: JsonObject) -> JsonObject:
    """Return a block as a part.

    Raises:
        InvalidArgument: It cannot be understood.
        Unsupported: It is of a kind that only Anthropic's own servers know.
    """
    part = _part(block)
    mark = block.get(_CACHE)
    return part if mark is None else {**part, _CACHE: mark}


def objects_of(value: Json, name: str) -> list[JsonObject]:
    """Return a list of objects.

    Raises:
        InvalidArgument: It is none.
    """
    if not isinstance(value, list):
        raise wrong(f"{name} must be a list.", name)

    objects = [entry for entry in value if isinstance(entry, dict)]

    if len(objects) != len(value):
        raise wrong(f"{name} must hold objects.", name)

    return objects


def wrong(message: str, name: str = "messages") -> InvalidArgument:
    """Return the refusal of what cannot be understood."""
    return InvalidArgument(message, code=f"llm.{name}.invalid", param=name)


def _part(block: JsonObject) -> JsonObject:
    kind, source = block.get("type"), block.get("source")

    match kind:
        case "text":
            if not isinstance(block.get("text"), str):
                raise wrong("A block of text must have a text.")

            return {"type": "text", "text": block["text"]}
        case "image":
            url = _address(source)
            return dict(block) if url is None else {"type": "image_url", "image_url": {"url": url}}
        case "document":
            return _document(block, source)
        case str() if kind in NATIVE_PARTS:
            return dict(block)
        case _:
            raise Unsupported(
                f"A block of type {kind!r} is understood by Anthropic's own servers alone.",
                code="llm.parameter.unsupported",
                param="messages",
            )


def _document(block: JsonObject, source: Json) -> JsonObject:
    """Return a document as a file; one the lingua franca cannot say in full goes on as it is."""
    asked = {name for name, value in block.items() if value is not None}
    fields = source if isinstance(source, dict) else {}
    data, title = fields.get("data"), block.get("title")

    if not asked <= _PLAIN_DOCUMENT or not isinstance(data, str):
        return dict(block)

    if fields.get("type") == "text":
        url = f"data:text/plain;base64,{b64encode(data.encode()).decode()}"
        named = title if isinstance(title, str) else "document.txt"
    else:
        url = f"data:{fields.get('media_type') or _PDF};base64,{data}"
        named = title if isinstance(title, str) else "document.pdf"

    return {"type": "file", "file": {"filename": named, "file_data": url}}


def _address(source: Json) -> str | None:
    """Return where an image is, or its data; None when only Anthropic's servers know."""
    fields = source if isinstance(source, dict) else {}

    match fields.get("type"):
        case "base64":
            return f"data:{fields.get('media_type')};base64,{fields.get('data')}"
        case "url":
            url = fields.get("url")
            return url if isinstance(url, str) else None
        case _:
            return None
