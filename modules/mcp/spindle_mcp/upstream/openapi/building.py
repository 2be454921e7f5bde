"""A call's arguments as an HTTP request. No argument changes which operation is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from spindle_mcp.upstream.openapi.bodies import encoded_body
from spindle_mcp.upstream.openapi.serialising import (
    cookie_value,
    header_value,
    path_part,
    plain,
    query_pairs,
)
from spindle_mcp.upstream.openapi.servers import has_dots
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from spindle_mcp.upstream.openapi.parameters import Parameter
    from spindle_mcp.upstream.openapi.tools import RestTool
    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject

_TEMPLATE = re.compile(r"\{([^{}]*)\}")
_PLAIN: Final = "/%:@!$&'()*+,;="
_ANSWERS: Final = "application/json, */*;q=0.8"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestRequest:
    """One request as it goes out."""

    method: str
    url: str = field(repr=False)
    """Escaped; a secret may be in it."""
    headers: dict[str, str] = field(repr=False)
    body: bytes | None = None


def build_request(
    tool: RestTool,
    arguments: JsonObject,
    credential: Secret | None,
    *,
    encoded_slashes: bool,
) -> RestRequest:
    """Return the request for a call.

    Raises:
        InvalidArgument: An argument is missing, unknown, or cannot stand where it belongs.
        UnfitCredential: The credential cannot be sent.
    """
    operation = tool.operation
    rest = dict(arguments)
    given: list[tuple[Parameter, Json]] = []

    for parameter in operation.parameters:
        value = rest.pop(parameter.argument, None)

        if value is not None:
            given.append((parameter, value))
        elif parameter.required:
            raise InvalidArgument(f"{parameter.argument}: is missing.", param=parameter.argument)

    headers = {"accept": _ANSWERS}
    headers |= {p.name: header_value(p, value) for p, value in given if p.place == "header"}
    pairs = [pair for p, value in given if p.place == "query" for pair in query_pairs(p, value)]
    cookies = [
        (quote(p.name, safe=""), cookie_value(p, value))
        for p, value in given
        if p.place == "cookie"
    ]
    _sign(tool, credential, headers, pairs, cookies)
    content = _body(tool, rest)

    if content is not None:
        headers["content-type"] = content[0]

    if cookies:
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies)

    path = _path(operation.path, given, encoded_slashes=encoded_slashes)
    query = "&".join(f"{name}={value}" for name, value in pairs)
    return RestRequest(
        method=operation.method,
        url=f"{operation.server}{path}{'?' if query else ''}{query}",
        headers=headers,
        body=None if content is None else content[1],
    )


def _sign(
    tool: RestTool,
    credential: Secret | None,
    headers: dict[str, str],
    pairs: list[tuple[str, str]],
    cookies: list[tuple[str, str]],
) -> None:
    scheme = tool.operation.scheme

    if scheme is None:
        return

    name = quote(scheme.name, safe="")

    # An argument that is spread over a query may bring any name along.
    if any(scheme.place == "query" and each == name for each, _ in pairs):
        raise InvalidArgument(f"{scheme.name}: the gateway's own credential is sent there.")

    if credential is None:
        return

    match scheme.place:
        case "header":
            headers[scheme.name] = scheme.value(credential)
        case "query":
            pairs.append((name, scheme.value(credential)))
        case _:
            cookies.append((name, scheme.value(credential)))


def _path(template: str, given: list[tuple[Parameter, Json]], *, encoded_slashes: bool) -> str:
    values = {p.name: (p, value) for p, value in given if p.place == "path"}

    parts = _TEMPLATE.split(template)
    # Names stand at the odd places.
    path = "".join(
        _checked_part(*values[part], encoded_slashes=encoded_slashes)
        if number % 2
        else quote(part, safe=_PLAIN)
        for number, part in enumerate(parts)
    )

    if has_dots(path):
        raise InvalidArgument("A path cannot hold a part that is '.' or '..'.")

    return path


def _checked_part(parameter: Parameter, value: Json, *, encoded_slashes: bool) -> str:
    part = path_part(parameter, value)

    if not part or value in ("", [], {}):
        # The path would be another one, often that of the whole collection.
        raise InvalidArgument(f"{parameter.argument}: is empty.", param=parameter.argument)

    if not encoded_slashes and ("%2F" in part or "%5C" in part):
        # Many servers unescape a path before they look which operation it is.
        raise InvalidArgument(
            f"{parameter.argument}: a part of a path cannot hold a slash.",
            param=parameter.argument,
        )

    return part


def _body(tool: RestTool, rest: JsonObject) -> tuple[str, bytes] | None:
    body = tool.operation.body

    if body is None or tool.body_argument is not None:
        value = rest.pop(tool.body_argument or "", None)

        if rest:
            unknown = next(iter(rest))
            raise InvalidArgument(f"{plain(unknown)[:100]}: no such argument.", param="arguments")

        if body is None or (value is None and not body.required):
            return None

        if value is None:
            raise InvalidArgument(f"{tool.body_argument}: is missing.", param=tool.body_argument)

        return encoded_body(body, value)

    return encoded_body(body, rest) if rest or body.required else None
