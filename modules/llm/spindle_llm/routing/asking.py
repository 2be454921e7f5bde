"""Asking a provider small questions over its own connections: `Inquiry`, as adapters know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from spindle_llm.providers.inquiry import Reply
from spindle_llm.relay.reading import read_all
from spindle_llm.relay.wire_json import encode
from spindle_spi.errors import FailedPrecondition, UpstreamTimeout
from spindle_transport.exchange import UpstreamRequest

if TYPE_CHECKING:
    from spindle_llm.routing.upstreams import Upstream
    from spindle_spi.types import JsonObject

_ANSWER_LIMIT = 4 * 1024 * 1024
"""Bytes of an answer to a small question."""


class UpstreamInquiry:
    """Questions to one base URL of an upstream."""

    def __init__(self, upstream: Upstream, base: str | None = None) -> None:
        """Ask `base`, by default the first address of the upstream.

        Raises:
            FailedPrecondition: The provider has no address.
        """
        if base is None and not upstream.bases:
            raise FailedPrecondition("The provider has no address.", code="llm.provider.no_address")

        self._upstream = upstream
        self.base = upstream.bases[0] if base is None else base

    @property
    def provider(self) -> str:
        """Name of the provider's record."""
        return self._upstream.name

    async def get(self, url: str) -> Reply:
        """Ask with GET."""
        return await self._ask("GET", url, b"")

    async def post(self, url: str, body: JsonObject) -> Reply:
        """Ask with POST and a JSON body."""
        return await self._ask("POST", url, encode(body))

    async def _ask(self, method: str, url: str, body: bytes) -> Reply:
        upstream = self._upstream
        request = UpstreamRequest(
            method=method, url=url, headers=upstream.headers[False], body=body
        )

        with anyio.move_on_after(upstream.spec.short_timeout):
            response = await upstream.open(request)

            try:
                data = await read_all(response, _ANSWER_LIMIT)
                return Reply(status=response.status, headers=response.headers, body=data)
            finally:
                await response.aclose()
                await upstream.line.release()

        raise UpstreamTimeout("The upstream did not answer in time.")
