"""The bare relay: the least a gateway on aiohttp can do. No policy, nothing looked at."""

from __future__ import annotations

import os
from typing import Any

import aiohttp

_UPSTREAM = os.environ.get("BENCH_UPSTREAM", "")
_session: aiohttp.ClientSession | None = None


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Relay one request as it is."""
    global _session

    if scope["type"] != "http":
        return

    if _session is None:
        _session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
        )

    body = b""
    more = True

    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)

    headers = {"content-type": "application/json"}

    async with _session.post(_UPSTREAM + scope["path"], data=body, headers=headers) as answer:
        kind = answer.headers.get("content-type", "application/json").encode()
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(b"content-type", kind)],
            }
        )

        async for chunk in answer.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})

        await send({"type": "http.response.body", "body": b"", "more_body": False})
