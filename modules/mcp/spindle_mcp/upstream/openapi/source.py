"""Where a document comes from: a URL, a file of the operator's, or the record itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from spindle_mcp.upstream.openapi.building import RestRequest
from spindle_mcp.upstream.openapi.faults import BadDocument
from spindle_mcp.upstream.openapi.options import origin_of
from spindle_mcp.upstream.openapi.reading import MAX_BYTES, read_document
from spindle_mcp.upstream.openapi.security import BEARER, UnfitCredential

if TYPE_CHECKING:
    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_mcp.upstream.openapi.client import RestClient
    from spindle_mcp.upstream.openapi.options import OpenApiOptions
    from spindle_spi.secret import Secret
    from spindle_spi.types import JsonObject

_ACCEPT = "application/json, application/yaml, application/vnd.oai.openapi+json, */*;q=0.5"


class DocumentSource:
    """Reads one document, anew each time."""

    def __init__(self, options: OpenApiOptions, endpoint: Endpoint, client: RestClient) -> None:
        self._options = options
        self._endpoint = endpoint
        self._client = client

    @property
    def url(self) -> str | None:
        """Where it comes from, if it comes over the network."""
        document = self._options.document
        return document if isinstance(document, str) else None

    async def read(self, credential: Secret | None) -> bytes | JsonObject:
        """Return the document, or the bytes it is in.

        Raises:
            UpstreamError: It cannot be had.
        """
        document = self._options.document

        if isinstance(document, dict):
            return document

        if document is not None:
            return await self._fetched(document, credential)

        if self._options.file is not None:
            return await self._from_file(self._options.file)

        raise BadDocument(self._endpoint.gateway, "is not named: options.document is missing")

    async def _from_file(self, name: str) -> bytes:
        try:
            async with await anyio.open_file(name, "rb") as stream:
                return await stream.read(MAX_BYTES + 1)
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
            raise BadDocument(self._endpoint.gateway, f"cannot be read: {reason}") from exc

    async def _fetched(self, url: str, credential: Secret | None) -> bytes:
        headers = {"accept": _ACCEPT}

        if not url.isascii():
            raise BadDocument(self._endpoint.gateway, "has a URL that is not escaped")

        if credential is not None and self._is_signed(url):
            try:
                headers[BEARER.name] = BEARER.value(credential)
            except UnfitCredential as exc:
                what = "cannot be asked for with this credential"
                raise BadDocument(self._endpoint.gateway, what) from exc

        request = RestRequest(method="GET", url=url.partition("#")[0], headers=headers)
        response = await self._client.ask(request, seconds=self._endpoint.connect_seconds)

        if not response.is_success:
            what = f"cannot be had: its URL answers with the HTTP status {response.status}"
            raise BadDocument(self._endpoint.gateway, what)

        return response.body

    def _is_signed(self, url: str) -> bool:
        # The credential is the API's: another host that has the document is not shown it.
        said = self._endpoint.url
        is_same = not said or origin_of(url) == origin_of(said)
        return self._options.document_auth == "bearer" and is_same


async def parsed(gateway: str, data: bytes) -> JsonObject:
    """Return the document that bytes hold.

    Raises:
        UpstreamError: They hold none.
    """
    try:
        return await anyio.to_thread.run_sync(read_document, data)
    except ValueError as exc:
        raise BadDocument(gateway, str(exc)) from exc
