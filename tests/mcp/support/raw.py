"""`tools/call` of the current protocol, written by hand: a test decides what each round says."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

META = "io.modelcontextprotocol"
ALL: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}


class Raw:
    """One client; its requests are independent of each other."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url

    async def call(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *,
        capabilities: dict[str, Any] | None = None,
        meta: dict[str, Any] | None = None,
        **params: Any,
    ) -> dict[str, Any]:
        """Return the JSON-RPC message that answers the call."""
        envelope = {
            f"{META}/protocolVersion": "2026-07-28",
            f"{META}/clientCapabilities": ALL if capabilities is None else capabilities,
            **(meta or {}),
        }
        message = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": name, "arguments": arguments or {}, "_meta": envelope, **params},
        }
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": name,
        }
        answer = await self._http.post(self._url, json=message, headers=headers)

        if answer.headers["content-type"].startswith("text/event-stream"):
            *_, last = re.findall(r"^data: (.+)$", answer.text, re.MULTILINE)
            found: dict[str, Any] = json.loads(last)
        else:
            found = answer.json()

        return found


@asynccontextmanager
async def raw_client(url: str, *, token: str = "a") -> AsyncGenerator[Raw]:
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, timeout=20) as http:
        yield Raw(http, url)
