"""Requests with a source's headers on them, below the client of the SDK.

A refusal (401, or 403 for want of a scope) is answered once more where the source has something
else to show, and no oftener.
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Final

import httpx2

from spindle_mcp.text import encode
from spindle_mcp.upstream.credentials.challenge import FORBIDDEN, UNAUTHORIZED, refusal_in
from spindle_mcp.upstream.credentials.faults import AuthorizationRequired
from spindle_mcp.upstream.faults import refused_by_status
from spindle_spi.codec import decode
from spindle_spi.codec import encode as encode_typed
from spindle_spi.errors import ErrorEnvelope, GatewayError, from_envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_mcp.upstream.credentials.source import HeaderSource
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import Json, JsonObject

UNPROVEN: Final = -32094
"""Our own JSON-RPC code for a request that nothing could prove; never leaves the process."""

_MARK: Final = secrets.token_hex(16)
"""Tells an answer of ours from one that an upstream made up."""
_REFUSED: Final = (UNAUTHORIZED, FORBIDDEN)


class ProvenTransport(httpx2.AsyncBaseTransport):
    """Adds the headers of an endpoint's principal.

    What fails here is answered, not raised: an error would end the SDK's whole session.
    """

    def __init__(self, endpoint: Endpoint, inner: httpx2.AsyncBaseTransport) -> None:
        self._endpoint = endpoint
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, once more after a refusal if that may help."""
        source, caller = self._endpoint.headers, self._endpoint.caller

        if source is None:
            return await self._inner.handle_async_request(request)

        try:
            response = await self._sent(request, source, caller)
        except GatewayError as exc:
            return _answered(exc)

        if response.status_code in _REFUSED:
            await response.aclose()
            return _answered(refused_by_status(self._endpoint.gateway, response.status_code, None))

        return response

    async def _sent(
        self, request: httpx2.Request, source: HeaderSource, caller: AuthenticatedContext | None
    ) -> httpx2.Response:
        is_last = False

        while True:
            sent = await source.headers(caller)
            response = await self._inner.handle_async_request(_with(request, sent))
            challenges = response.headers.get_list("www-authenticate")
            refusal = refusal_in(response.status_code, challenges)

            try:
                is_mended = await source.mends(caller, sent, refusal, is_last=is_last)
            except GatewayError:
                await response.aclose()
                raise

            if not is_mended:
                return response

            await response.aclose()
            is_last = True

    async def aclose(self) -> None:
        """Close what is below."""
        await self._inner.aclose()


def failure_in(code: int, data: Json) -> GatewayError | None:
    """Return the failure that an answer of ours tells of; an upstream's own word is none."""
    if code != UNPROVEN or not isinstance(data, dict) or data.get("mark") != _MARK:
        return None

    consent = data.get("consent")

    if isinstance(consent, dict):
        return AuthorizationRequired(str(consent["need"]), str(consent["url"]))

    return from_envelope(decode(encode(data.get("failure")), ErrorEnvelope))


def _answered(failure: GatewayError) -> httpx2.Response:
    told: Json = json.loads(encode_typed(failure.envelope(), ErrorEnvelope))
    said: JsonObject = {"mark": _MARK, "failure": told}

    if isinstance(failure, AuthorizationRequired):
        said["consent"] = {"need": failure.need, "url": failure.url}

    error: Json = {"code": UNPROVEN, "message": "", "data": said}
    body = encode({"jsonrpc": "2.0", "id": None, "error": error})
    return httpx2.Response(502, headers={"content-type": "application/json"}, content=body)


def _with(request: httpx2.Request, headers: Mapping[str, str]) -> httpx2.Request:
    """Return a request with headers; a new one each time, since what is below changes its own."""
    made = httpx2.Request(
        request.method,
        request.url,
        headers=request.headers,
        stream=request.stream,
        extensions=dict(request.extensions),
    )
    made.headers.update(headers)
    return made
