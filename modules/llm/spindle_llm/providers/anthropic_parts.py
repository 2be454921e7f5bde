"""Parts of a message in the lingua franca as Anthropic's content blocks."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Final

from spindle_llm.providers.extensions import NATIVE_PARTS
from spindle_spi.errors import InvalidArgument, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.types import Json, JsonObject

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.+-]+)*;base64,", re.ASCII)
_EPHEMERAL: Final[JsonObject] = {"type": "ephemeral"}


def blocks_of(content: Json, lost: set[str]) -> list[JsonObject]:
    """Return the blocks of a message's content: a text, or a list of parts.

    Texts of nothing but white space are left out, because Anthropic takes none. What a part says
    and a block cannot is added to `lost`.

    Raises:
        InvalidArgument: It is neither, or a part cannot be understood.
        Unsupported: There is no block for a part.
    """
    if content is None:
        return []

    if isinstance(content, str):
        return [text_block(content)] if content.strip() else []

    if not isinstance(content, list):
        raise _invalid("The content of a message must be a text or a list of parts.")

    return [block for part in content for block in _blocks(part, lost)]


def text_block(text: str) -> JsonObject:
    """Return a block of text."""
    return {"type": "text", "text": text}


def cached(block: JsonObject, holder: JsonObject) -> JsonObject:
    """Return a block with the cache mark that a part, a message or a tool bears."""
    mark = holder.get("cache_control")

    if mark is None and holder.get("prompt_cache_breakpoint") is not None:
        mark = dict(_EPHEMERAL)

    return block if mark is None else {**block, "cache_control": mark}


def _blocks(part: Json, lost: set[str]) -> Iterator[JsonObject]:
    if not isinstance(part, dict):
        raise _invalid("A part of a message must be an object.")

    kind = part.get("type")

    match kind:
        case "text" | "refusal":
            text = part.get("text" if kind == "text" else "refusal")

            if not isinstance(text, str):
                raise _invalid("A part of text must have a text.")

            if text.strip():
                yield cached(text_block(text), part)
        case "image_url":
            yield cached({"type": "image", "source": _image(part, lost)}, part)
        case "file":
            yield cached(_document(part), part)
        case str() if kind in NATIVE_PARTS:
            yield part
        case _:
            raise Unsupported(
                f"The provider of this model takes no part of type {kind!r}.",
                code="llm.parameter.unsupported",
                param="messages",
            )


def _image(part: JsonObject, lost: set[str]) -> JsonObject:
    image = part.get("image_url")
    fields: JsonObject = image if isinstance(image, dict) else {"url": image}

    if fields.get("detail") not in (None, "auto"):
        lost.add("image_url.detail")

    return _source(fields.get("url"), "image_url")


def _document(part: JsonObject) -> JsonObject:
    fields = part.get("file")

    if not isinstance(fields, dict):
        raise _invalid("A part of type 'file' must have a file.")

    name, data = fields.get("filename"), fields.get("file_data")
    source: JsonObject

    if data is None:
        source = {"type": "file", "file_id": fields.get("file_id")}
    else:
        source = _source(data, "file_data")

    if str(source.get("media_type", "")).startswith("text/"):
        source = _plain_text(source)

    document: JsonObject = {"type": "document", "source": source}
    return {**document, "title": name} if isinstance(name, str) else document


def _source(url: Json, name: str) -> JsonObject:
    """Return the source of what stands at an address, or in it."""
    if isinstance(url, str):
        match = _DATA_URL.match(url)

        if match is not None:
            return {"type": "base64", "media_type": match[1], "data": url[match.end() :]}

        if url.startswith(("http://", "https://")):
            return {"type": "url", "url": url}

    raise _invalid(f"{name} must be an http(s) address, or a data address in base64.")


def _plain_text(source: JsonObject) -> JsonObject:
    try:
        text = b64decode(str(source["data"]), validate=True).decode()
    except (Base64Error, ValueError) as exc:
        raise _invalid("file_data is no text in base64.") from exc

    return {"type": "text", "media_type": "text/plain", "data": text}


def _invalid(message: str) -> InvalidArgument:
    return InvalidArgument(message, code="llm.messages.invalid", param="messages")
