"""What the `demo` gateway offers beside its tools: a resource, a template and a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_mcp.upstream.faults import ResourceMissing
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_spi.types import Json, JsonObject

GUIDE: Final = "demo://guide"
_GREETINGS: Final = "demo://greetings/"
_GUIDE_TEXT: Final = """\
# The demo gateway

Tools: `echo`, `add`, `time`, `slow`. Resources: this page, and greetings in some
languages. Prompt: `greet`. None of it needs a network.
"""
_WORDS: Final = {
    "english": "Hello",
    "finnish": "Hei",
    "french": "Bonjour",
    "german": "Guten Tag",
    "swahili": "Habari",
}

LISTS: Final[dict[str, tuple[JsonObject, ...]]] = {
    "resources": (
        {
            "uri": GUIDE,
            "name": "guide",
            "title": "Guide",
            "description": "What the demo gateway offers.",
            "mimeType": "text/markdown",
        },
    ),
    "resourceTemplates": (
        {
            "uriTemplate": f"{_GREETINGS}{{language}}",
            "name": "greetings",
            "title": "Greetings",
            "description": "A greeting in a language.",
            "mimeType": "text/plain",
        },
    ),
    "prompts": (
        {
            "name": "greet",
            "title": "Greet",
            "description": "Ask for a greeting to somebody.",
            "arguments": [
                {"name": "name", "description": "Whom to greet.", "required": True},
                {"name": "language", "description": "In which language; English if not said."},
            ],
        },
    ),
}


def read(params: JsonObject) -> JsonObject:
    """Answer `resources/read`."""
    uri = str(params.get("uri"))
    word = _WORDS.get(uri.removeprefix(_GREETINGS)) if uri.startswith(_GREETINGS) else None

    if uri == GUIDE:
        return _contents(uri, "text/markdown", _GUIDE_TEXT)

    if word is None:
        raise ResourceMissing("There is no such resource.")

    return _contents(uri, "text/plain", f"{word}!")


def get(params: JsonObject) -> JsonObject:
    """Answer `prompts/get`."""
    given = params.get("arguments")
    arguments = given if isinstance(given, dict) else {}
    name, language = arguments.get("name"), arguments.get("language", "english")

    if params.get("name") != "greet":
        raise InvalidArgument("The demo gateway has no such prompt.")

    if not isinstance(name, str) or not isinstance(language, str):
        raise InvalidArgument("The prompt greet needs a name.", param="name")

    text = f"Write one warm sentence in {language.title()} that greets {name}."
    content: JsonObject = {"type": "text", "text": text}
    return {"messages": [{"role": "user", "content": content}]}


def complete(params: JsonObject) -> JsonObject:
    """Answer `completion/complete`: languages, wherever one is asked for."""
    argument = params.get("argument")
    asked = argument if isinstance(argument, dict) else {}
    begun = str(asked.get("value", "")).lower()
    values: list[Json] = []

    if asked.get("name") == "language":
        values += [language for language in _WORDS if language.startswith(begun)]

    return {"completion": {"values": values, "total": len(values), "hasMore": False}}


METHODS: Final[dict[str, Callable[[JsonObject], JsonObject]]] = {
    "resources/read": read,
    "prompts/get": get,
    "completion/complete": complete,
}


def _contents(uri: str, mime_type: str, text: str) -> JsonObject:
    return {"contents": [{"uri": uri, "mimeType": mime_type, "text": text}]}
