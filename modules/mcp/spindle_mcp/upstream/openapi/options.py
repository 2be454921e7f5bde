"""What the options of a gateway's record say of its document and of what is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from spindle_spi.types import Json, JsonObject

MAX_OPERATIONS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Operations by what they are called, tagged with, or do. An operation of any word is in it."""

    operations: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    """In lower case."""

    def __bool__(self) -> bool:
        return bool(self.operations or self.tags or self.methods)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiOptions:
    """The options, after the core has checked them."""

    document: str | JsonObject | None = None
    """A URL, or the document itself."""
    file: str | None = None
    include: Selection = Selection()
    exclude: Selection = Selection()
    max_operations: int = MAX_OPERATIONS
    security_scheme: str | None = None
    """Which of the document's schemes the credential is for; None takes what it names first."""
    document_auth: Literal["none", "bearer"] = "none"
    """Whether the document itself is asked for with the credential."""
    encoded_slashes: bool = False
    """Let a path parameter hold slashes; they are sent as `%2F`."""
    output_schemas: bool = True
    address: str | None = None
    """Where the API was judged to be."""
    document_address: str | None = None
    """Where the document was."""


def options_from(options: JsonObject) -> OpenApiOptions:
    """Return the options of a record; what is not of its type is as if it were not there."""
    document, limit = options.get("document"), options.get("max_operations")
    return OpenApiOptions(
        document=document if isinstance(document, str | dict) else None,
        file=_text(options.get("file")),
        include=_selection(options.get("include")),
        exclude=_selection(options.get("exclude")),
        max_operations=limit if type(limit) is int else MAX_OPERATIONS,
        security_scheme=_text(options.get("security_scheme")),
        document_auth="bearer" if options.get("document_auth") == "bearer" else "none",
        encoded_slashes=options.get("encoded_slashes") is True,
        output_schemas=options.get("output_schemas") is not False,
        address=_text(options.get("address")),
        document_address=_text(options.get("document_address")),
    )


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL.

    Raises:
        ValueError: It is none.
    """
    parts = urlsplit(url)
    ports = {"http": 80, "https": 443}
    return parts.scheme, parts.hostname or "", parts.port or ports.get(parts.scheme)


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _selection(value: Json) -> Selection:
    if not isinstance(value, dict):
        return Selection()

    return Selection(
        operations=_words(value.get("operations")),
        tags=_words(value.get("tags")),
        methods=frozenset(word.lower() for word in _words(value.get("methods"))),
    )


def _words(value: Json) -> frozenset[str]:
    listed = value if isinstance(value, list) else []
    return frozenset(word for word in listed if isinstance(word, str))
