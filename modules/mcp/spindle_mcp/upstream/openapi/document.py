"""A document as the tools it stands for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spindle_mcp.upstream.openapi.faults import BadDocument
from spindle_mcp.upstream.openapi.operations import find_operations
from spindle_mcp.upstream.openapi.references import References
from spindle_mcp.upstream.openapi.security import Security
from spindle_mcp.upstream.openapi.servers import base_url
from spindle_mcp.upstream.openapi.tools import RestTool, make_tools

if TYPE_CHECKING:
    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_mcp.upstream.openapi.options import OpenApiOptions
    from spindle_spi.types import JsonObject

_VERSION: Final = re.compile(r"3\.[01](?:\.[0-9]+)?(?:-.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What a document offers."""

    tools: dict[str, RestTool]
    """By name."""
    left_out: tuple[tuple[str, str], ...]
    """Operations that are no tools, with the reason."""


def read_api(
    document: JsonObject, options: OpenApiOptions, endpoint: Endpoint, document_url: str | None
) -> Api:
    """Return what a document offers. Takes its time with a long one.

    Raises:
        UpstreamError: It is no document of a version that is read, or says nothing of use.
    """
    version = document.get("openapi")

    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        said = f"says {str(version or document.get('swagger'))[:20]!r}"
        raise BadDocument(endpoint.gateway, f"is not OpenAPI 3.0 or 3.1: it {said}")

    if not isinstance(document.get("paths"), dict):
        raise BadDocument(endpoint.gateway, "has no paths")

    try:
        base = base_url(endpoint.url or None, document, document_url)
    except ValueError as exc:
        raise BadDocument(endpoint.gateway, str(exc)) from exc

    references = References(document)
    security = Security(document, references, options.security_scheme)

    if not security.is_known:
        raise BadDocument(
            endpoint.gateway,
            f"has no security scheme {options.security_scheme!r} of a kind that is supported",
        )

    found = find_operations(document, references, security, options, base)
    left_out = list(found.left_out)
    tools: dict[str, RestTool] = {}

    for tool in make_tools(found.operations, references, has_outputs=options.output_schemas):
        name = str(tool.definition["name"])

        if tools.setdefault(name, tool) is not tool:
            left_out.append((name, "its name is given twice"))

    return Api(tools=tools, left_out=tuple(left_out))
