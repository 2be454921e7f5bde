"""Parameter values as they stand in a URL, a header or a cookie, by style and explode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from spindle_mcp.text import encode
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from spindle_mcp.upstream.openapi.parameters import Parameter
    from spindle_spi.types import Json

_RESERVED: Final = ":/?@!$'()*,;"
"""What may stand in a query as it is, where the document allows it; not what ends a pair."""
_BETWEEN: Final = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C", "deepObject": ","}


def plain(value: Json) -> str:
    """Return a value as text: strings as they are, structures as JSON.

    Raises:
        InvalidArgument: It holds a number that is not JSON, or text that is no Unicode.
    """
    try:
        text = value if isinstance(value, str) else as_json(value)
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgument("The arguments hold text that is no Unicode.") from exc

    return text


def as_json(value: Json) -> str:
    """Return a value as JSON, strings in quotes.

    Raises:
        InvalidArgument: It holds a number that is not JSON.
    """
    try:
        return encode(value).decode()
    except ValueError as exc:
        raise InvalidArgument("The arguments hold a number that is not JSON.") from exc


def escaped(value: Json, safe: str = "") -> str:
    """Return a value as text in which every character is part of it."""
    return quote(plain(value), safe=safe)


def path_part(parameter: Parameter, value: Json) -> str:
    """Return what stands in a path for a parameter."""
    name = quote(parameter.name, safe="")

    if parameter.is_json:
        return escaped(as_json(value))

    match parameter.style:
        case "label":
            return "." + _joined(value, "." if parameter.explode else ",", parameter.explode)
        case "matrix":
            return _matrix(name, value, is_exploded=parameter.explode)
        case _:
            return _joined(value, ",", parameter.explode)


def query_pairs(parameter: Parameter, value: Json) -> list[tuple[str, str]]:
    """Return the pairs of a query that say a parameter, escaped."""
    name = quote(parameter.name, safe="")
    safe = _RESERVED if parameter.allow_reserved else ""

    if value is None:
        return []

    if parameter.is_json:
        return [(name, escaped(as_json(value), safe))]

    match value:
        case list() if parameter.style == "form" and parameter.explode:
            return [(name, escaped(each, safe)) for each in value]
        case list():
            between = _BETWEEN[parameter.style]
            return [(name, between.join(escaped(each, safe) for each in value))] if value else []
        case dict() if parameter.style == "deepObject":
            return _deep(name, value, safe)
        case dict() if parameter.explode:
            return [(escaped(key), escaped(each, safe)) for key, each in value.items()]
        case dict():
            between = _BETWEEN[parameter.style]
            flat = [escaped(each, safe) for pair in value.items() for each in pair]
            return [(name, between.join(flat))] if flat else []
        case _:
            return [(name, escaped(value, safe))]


def header_value(parameter: Parameter, value: Json) -> str:
    """Return what stands in a header for a parameter.

    Raises:
        InvalidArgument: It cannot stand there.
    """
    match value:
        case list() if not parameter.is_json:
            text = ",".join(plain(each) for each in value)
        case dict() if not parameter.is_json:
            sign = "=" if parameter.explode else ","
            text = ",".join(f"{key}{sign}{plain(each)}" for key, each in value.items())
        case _:
            text = as_json(value) if parameter.is_json else plain(value)

    if not text.isprintable() or text != text.strip():
        raise InvalidArgument(
            f"{parameter.argument}: a header cannot hold this value.", param=parameter.argument
        )

    return text


def cookie_value(parameter: Parameter, value: Json) -> str:
    """Return what stands in a cookie for a parameter, escaped."""
    if parameter.is_json:
        return escaped(as_json(value))

    return _joined(value, ",", is_exploded=False)


def _joined(value: Json, between: str, is_exploded: bool) -> str:
    match value:
        case list():
            return between.join(escaped(each) for each in value)
        case dict():
            sign = "=" if is_exploded else between
            return between.join(f"{escaped(key)}{sign}{escaped(v)}" for key, v in value.items())
        case _:
            return escaped(value)


def _matrix(name: str, value: Json, *, is_exploded: bool) -> str:
    match value:
        case list() if is_exploded:
            return "".join(f";{name}={escaped(each)}" for each in value)
        case dict() if is_exploded:
            return "".join(f";{escaped(key)}={escaped(v)}" for key, v in value.items())
        case _:
            return f";{name}={_joined(value, ',', is_exploded=False)}"


def _deep(name: str, value: dict[str, Json], safe: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []

    for key, each in value.items():
        inner = f"{name}%5B{escaped(key)}%5D"

        if isinstance(each, dict):
            pairs += _deep(inner, each, safe)
        elif isinstance(each, list):
            pairs += [(inner, escaped(part, safe)) for part in each]
        elif each is not None:
            pairs.append((inner, escaped(each, safe)))

    return pairs
