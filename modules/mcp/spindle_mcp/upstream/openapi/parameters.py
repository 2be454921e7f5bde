"""The parameters of an operation: what the document says of them, and the arguments they become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spindle_mcp.upstream.openapi.faults import LeftOut
from spindle_mcp.upstream.openapi.names import argument_name
from spindle_mcp.upstream.openapi.references import Unresolvable
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from spindle_mcp.upstream.openapi.references import References

PLACES: Final = ("path", "query", "header", "cookie")
_STYLES: Final = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
"""By place; the first is the default."""
_OURS: Final = frozenset(
    {
        *("accept", "content-type", "authorization"),
        *("host", "content-length", "transfer-encoding", "connection", "cookie", "expect"),
        *("te", "trailer", "upgrade", "keep-alive", "proxy-authorization", "proxy-connection"),
        *("x-http-method-override", "x-http-method", "x-method-override"),
        *("content-encoding", "accept-encoding", "traceparent", "user-agent"),
    }
)
"""Headers that are not a caller's to set, whatever a document says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter."""

    argument: str
    """What the tool calls it."""
    name: str
    place: str
    style: str
    explode: bool
    required: bool
    schema: Json
    description: str | None = None
    is_json: bool = False
    """Its value is sent as JSON."""
    allow_reserved: bool = False


def read_parameters(
    references: References,
    shared: Json,
    own: Json,
    hidden: frozenset[tuple[str, str]],
) -> list[Parameter]:
    """Return the parameters of an operation, those of its path among them, by their places.

    Raises:
        LeftOut: One of them cannot be read or sent.
    """
    said: dict[tuple[str, str], JsonObject] = {}

    for each in (*_listed(shared), *_listed(own)):
        try:
            parameter = references.followed(each)
        except Unresolvable as exc:
            raise LeftOut("one of its parameters cannot be resolved") from exc

        name, place = parameter.get("name"), parameter.get("in")

        if not isinstance(name, str) or not isinstance(place, str) or place not in PLACES:
            raise LeftOut("one of its parameters has no name, or a place nobody knows")

        said[place, name] = parameter

    taken: set[str] = set()
    found: list[Parameter] = []

    for (place, name), parameter in sorted(said.items(), key=lambda item: PLACES.index(item[0][0])):
        if (place, name.lower()) in hidden or (place == "header" and name.lower() in _OURS):
            continue

        argument = argument_name(name, place, taken)
        taken.add(argument)
        found.append(_parameter(parameter, argument, name, place))

    return found


def _parameter(said: JsonObject, argument: str, name: str, place: str) -> Parameter:
    styles = _STYLES[place]
    style = said.get("style", styles[0])
    description, explode = said.get("description"), said.get("explode")

    if not isinstance(style, str) or style not in styles:
        raise LeftOut(f"its parameter {name!r} has a style that is not supported")

    if place == "header" and not (
        name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    ):
        raise LeftOut(f"its parameter {name!r} is no name of a header")

    content = said.get("content")
    media = next(iter(content.items())) if isinstance(content, dict) and content else None

    if media is not None and "json" not in media[0]:
        raise LeftOut(f"its parameter {name!r} is of a type that is not supported")

    schema = said.get("schema", {}) if media is None else _member(media[1], "schema")
    return Parameter(
        argument=argument,
        name=name,
        place=place,
        style=style,
        explode=explode if isinstance(explode, bool) else style == "form",
        required=place == "path" or said.get("required") is True,
        schema=schema,
        description=description if isinstance(description, str) else None,
        is_json=media is not None,
        allow_reserved=said.get("allowReserved") is True,
    )


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _member(value: Json, key: str) -> Json:
    return value.get(key, {}) if isinstance(value, dict) else {}
