"""A REST API as an upstream: its document's operations are its tools."""

from __future__ import annotations

import hashlib
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from spindle_mcp.upstream.connections.base import Endpoint, Request, Upstream
from spindle_mcp.upstream.openapi.answers import tool_answer, unkept
from spindle_mcp.upstream.openapi.building import RestRequest, build_request
from spindle_mcp.upstream.openapi.client import RestClient, open_client
from spindle_mcp.upstream.openapi.document import Api, read_api
from spindle_mcp.upstream.openapi.options import OpenApiOptions, options_from
from spindle_mcp.upstream.openapi.promises import Promise
from spindle_mcp.upstream.openapi.security import UnfitCredential
from spindle_mcp.upstream.openapi.source import DocumentSource, parsed
from spindle_spi.errors import InvalidArgument, UpstreamError
from spindle_spi.observability import Level

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_mcp.upstream.openapi.tools import RestTool
    from spindle_spi.records import GatewaySpec
    from spindle_spi.secret import Secret
    from spindle_spi.types import JsonObject

_MOST_TOLD: Final = 20
"""Operations that are named in the log; of the others it says how many they are."""


class OpenApiUpstream(Upstream):
    """Asks a REST API. Stateless: a request works or fails, and a bad document changes nothing."""

    era = "openapi"

    def __init__(
        self,
        options: OpenApiOptions,
        endpoint: Endpoint,
        client: RestClient,
        source: DocumentSource,
    ) -> None:
        self.capabilities = {"tools": {}}
        self._options = options
        self._endpoint = endpoint
        self._client = client
        self._source = source
        self._credential = endpoint.credential
        self._digest = b""
        self._api: Api | None = None
        self._promises: dict[str, Promise] = {}

    def take_credential(self, credential: Secret) -> bool:
        """See `Upstream`: no request knows of the one before."""
        self._credential = credential
        return True

    async def list_all(self, method: str, key: str) -> list[JsonObject]:
        """See `Upstream`; there are tools only."""
        del method, key
        data = await self._source.read(self._credential)
        digest = hashlib.sha256(data).digest() if isinstance(data, bytes) else b"inline"

        if self._api is None or digest != self._digest:
            document = (
                await parsed(self._endpoint.gateway, data) if isinstance(data, bytes) else data
            )
            self._api = await anyio.to_thread.run_sync(
                read_api, document, self._options, self._endpoint, self._source.url
            )
            self._promises = {
                name: Promise(tool.output_schema)
                for name, tool in self._api.tools.items()
                if tool.output_schema is not None
            }
            self._digest = digest
            self._tell_of(self._api)

        return [tool.definition for tool in self._api.tools.values()]

    async def request(self, request: Request) -> JsonObject:
        """See `Upstream`."""
        name, arguments = request.params.get("name"), request.params.get("arguments")
        is_named = request.method == "tools/call" and isinstance(name, str)
        tool = self._api.tools.get(str(name)) if self._api is not None and is_named else None

        if tool is None:
            raise InvalidArgument(f"The gateway {self._endpoint.gateway!r} has no such operation.")

        credential = self._credential
        built = self._built(tool, arguments if isinstance(arguments, dict) else {}, credential)
        seconds = request.silence

        if request.deadline is not None:
            seconds = min(seconds, request.deadline - time.monotonic())

        response = await self._client.ask(built, seconds=seconds, traceparent=request.traceparent)
        result = tool_answer(self._endpoint.gateway, str(name), response, credential)
        promise = self._promises.get(str(name))

        if promise is None or result.get("isError") is True:
            return result

        if not isinstance(result.get("structuredContent"), dict):
            return unkept(result, response.status, "it is no object")

        fault = await promise.fault_in(result["structuredContent"], len(response.body))
        return result if fault is None else unkept(result, response.status, fault)

    def _tell_of(self, api: Api) -> None:
        for name, reason in api.left_out[:_MOST_TOLD]:
            fields: JsonObject = {"tool": name, "reason": reason}
            self._endpoint.tell(Level.WARNING, "mcp.tool.left_out", fields)

        more = len(api.left_out) - _MOST_TOLD

        if more > 0:
            self._endpoint.tell(Level.WARNING, "mcp.list.left_out", {"list": "tools", "more": more})

    def _built(
        self, tool: RestTool, arguments: JsonObject, credential: Secret | None
    ) -> RestRequest:
        try:
            return build_request(
                tool,
                arguments,
                credential,
                encoded_slashes=self._options.encoded_slashes,
            )
        except UnfitCredential as exc:
            raise UpstreamError(
                f"The credential of the gateway {self._endpoint.gateway!r} cannot be sent.",
                code="mcp.upstream.credential_unfit",
                retryable=False,
            ) from exc


@asynccontextmanager
async def open_openapi(spec: GatewaySpec, endpoint: Endpoint) -> AsyncGenerator[OpenApiUpstream]:
    """Open a REST API; nothing is sent yet."""
    options = options_from(spec.options)

    async with AsyncExitStack() as stack:
        # Without a url of its own the API is where its document is.
        address = options.address if endpoint.url else options.document_address
        client = await stack.enter_async_context(open_client(endpoint, address))
        documents = await stack.enter_async_context(open_client(endpoint, options.document_address))
        yield OpenApiUpstream(
            options, endpoint, client, DocumentSource(options, endpoint, documents)
        )
