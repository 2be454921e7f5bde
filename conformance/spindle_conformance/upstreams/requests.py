"""What a client asked for: a request as it came, and a chat in no vendor's form."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from spindle_conformance.upstreams.server import Seen
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from spindle_spi.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request, read as far as every vendor reads it."""

    seen: Seen
    path: str
    """Decoded, without the query."""
    query: dict[str, str] = field(default_factory=dict[str, str])
    body: JsonObject = field(default_factory=dict[str, "Json"])
    """Empty where it is no JSON object; `is_object` tells which."""
    is_object: bool = False

    @property
    def key(self) -> str:
        """The credential, from whichever header has one."""
        headers = self.seen.headers
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        names = ("x-api-key", "api-key", "xi-api-key")
        return next((headers[name] for name in names if name in headers), bearer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a chat asks for, as far as plays depend on it."""

    model: str
    stream: bool = False
    said: str = ""
    """The last thing the user said."""
    tools: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    """What tools answered."""
    has_result_last: bool = False
    wants_usage: bool = False
    """In a stream, where that has to be asked for."""
    key: str = ""


def request_of(seen: Seen) -> Request:
    """Read a request."""
    path, _, query = seen.path.partition("?")
    body = seen.json
    return Request(
        seen=seen,
        path=unquote(path),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        body=body if isinstance(body, dict) else {},
        is_object=isinstance(body, dict),
    )


def asked_in_openai(body: JsonObject, key: str = "") -> Asked:
    """Read a chat in OpenAI's form, and in Ollama's own, which differs in nothing that matters."""
    messages = objects(body.get("messages"))
    options = body.get("stream_options")
    functions = [tool.get("function") for tool in objects(body.get("tools"))]
    return Asked(
        model=string(body.get("model")),
        stream=body.get("stream") is True,
        said=_last_said(messages),
        tools=tuple(
            string(function.get("name")) for function in functions if isinstance(function, dict)
        ),
        results=tuple(content_of(entry) for entry in messages if entry.get("role") == "tool"),
        has_result_last=bool(messages) and messages[-1].get("role") == "tool",
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        key=key,
    )


def asked_in_anthropic(body: JsonObject, key: str = "") -> Asked:
    """Read a chat in Anthropic's form."""
    messages = objects(body.get("messages"))
    blocks = [block for entry in messages for block in objects(entry.get("content"))]
    results = [block for block in blocks if block.get("type") == "tool_result"]
    last = objects(messages[-1].get("content")) if messages else []
    return Asked(
        model=string(body.get("model")),
        stream=body.get("stream") is True,
        said=_last_said(messages),
        tools=tuple(string(tool.get("name")) for tool in objects(body.get("tools"))),
        results=tuple(content_of(block) for block in results),
        has_result_last=any(block.get("type") == "tool_result" for block in last),
        wants_usage=True,
        key=key,
    )


def content_of(message: JsonObject) -> str:
    """Return the text of a message, or of anything else that has a content."""
    content = message.get("content")

    if isinstance(content, list):
        return "".join(string(part.get("text")) for part in objects(content))

    return string(content)


def objects(value: Json) -> list[JsonObject]:
    """Return the objects of a list; none where it is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def string(value: Json) -> str:
    """Return a text; an empty one where it is none."""
    return value if isinstance(value, str) else ""


def is_object_text(text: str) -> bool:
    """Tell whether a text is a JSON object."""
    try:
        value: Json = json.loads(text)
    except ValueError:
        return False

    return isinstance(value, dict)


def _last_said(messages: list[JsonObject]) -> str:
    texts = [content_of(entry) for entry in messages if entry.get("role") == "user"]
    return texts[-1] if texts else ""
