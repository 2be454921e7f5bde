"""Tools of a document, and an upstream of one, without the module around them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from spindle_mcp.upstream.connections.base import Endpoint, Request
from spindle_mcp.upstream.connections.connect import open_upstream
from spindle_mcp.upstream.openapi.document import Api, read_api
from spindle_mcp.upstream.openapi.options import options_from
from spindle_spi.records import GatewaySpec
from spindle_spi.secret import Secret
from tests.mcp.support.rest import openapi

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from jsonschema.protocols import Validator

    from spindle_mcp.upstream.connections.base import Upstream
    from spindle_spi.types import JsonObject

BASE = "http://api.test/v1"


def api_of(document: JsonObject, url: str = BASE, **options: Any) -> Api:
    """Return what a document offers under some options."""
    endpoint = Endpoint(gateway="up", url=url, version="1")
    return read_api(document, options_from(options), endpoint, None)


def definition(document: JsonObject, name: str, **options: Any) -> dict[str, Any]:
    """Return one tool as clients see it."""
    return api_of(document, **options).tools[name].definition


def input_of(document: JsonObject, name: str = "op", **options: Any) -> dict[str, Any]:
    """Return the input schema of a tool."""
    found: dict[str, Any] = definition(document, name, **options)["inputSchema"]
    return found


def doc(method: str, path: str, **said: Any) -> JsonObject:
    """Return a document of the one operation `op`."""
    more = {key: said.pop(key) for key in ("components", "security") if key in said}
    return openapi({path: {method: {"operationId": "op", **said}}}, **more)


def fits(schema: JsonObject, value: Any) -> bool:
    """Tell whether a value is what a schema says."""
    return next(_validator(schema).iter_errors(value), None) is None


def _validator(schema: JsonObject) -> Validator:
    return Draft202012Validator(schema)


@asynccontextmanager
async def upstream_of(
    document: JsonObject | str,
    url: str | None,
    *,
    credential: str | None = None,
    max_result_bytes: int = 100_000,
    **options: Any,
) -> AsyncGenerator[Upstream]:
    """Open the upstream of a document, its tools read."""
    spec = GatewaySpec(transport="openapi", url=url, options={"document": document, **options})
    endpoint = Endpoint(
        gateway="up",
        url=url or "",
        version="1",
        credential=None if credential is None else Secret(credential),
        connect_seconds=5,
        max_result_bytes=max_result_bytes,
    )

    async with open_upstream(spec, endpoint) as upstream:
        await tools_of(upstream)
        yield upstream


def call(name: str, /, **arguments: Any) -> Request:
    """Return a call of a tool."""
    params: JsonObject = {"name": name, "arguments": arguments}
    return Request(method="tools/call", params=params, name=name, silence=20)


async def tools_of(upstream: Upstream) -> list[JsonObject]:
    """Return the tools of an upstream, its document read anew."""
    return await upstream.list_all("tools/list", "tools")


def text_of(result: JsonObject) -> str:
    """Return the text of a result's only part."""
    content: Any = result["content"]
    (part,) = content
    text: str = part["text"]
    return text
