"""An upstream of 2026-07-28 that writes lists and results byte for byte as a test wants them."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from spindle_spi.types import JsonObject
from tests.mcp.support.serving import listening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from spindle_conformance.fakes import FakeHost
    from spindle_spi.records import Kind
    from spindle_spi.types import Receive, Scope, Send

_KEYS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}


@dataclass
class Shelf:
    """Declares what it has something of, or what `capabilities` says."""

    tools: list[Any] | None = None
    resources: list[Any] | None = None
    templates: list[Any] | None = None
    prompts: list[Any] | None = None
    results: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    """By method, or by method and the name or URI that is asked for."""
    errors: dict[str, int] = field(default_factory=dict[str, int])
    """By method; wins over results and lists."""
    capabilities: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    """Declared beside those of its lists."""
    methods: list[str] = field(default_factory=list[str])
    asked: list[JsonObject] = field(default_factory=list[JsonObject])
    """The parameters of each request, in the order of `methods`."""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str]:
        async with listening(self) as url:
            yield f"{url}/mcp"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""

        while True:
            chunk = await receive()
            body += bytes(chunk.get("body", b""))

            if not chunk.get("more_body", False):
                break

        message: Any = json.loads(body)
        method = message["method"]
        self.methods.append(method)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        params = message.get("params", {})
        self.asked.append(params)
        asked = f"{method} {params.get('uri', params.get('name'))}"
        code = self.errors.get(asked, self.errors.get(method))

        if code is not None:
            data = {"uri": params.get("uri")}
            answer["error"] = {"code": code, "message": "secret-of-the-upstream", "data": data}
        else:
            result = self.results.get(asked, self._result(method))
            answer["result"] = {"resultType": "complete", **result}

        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def until_listed(self, host: FakeHost, kind: Kind, name: str) -> None:
        """Wait until a host has a record."""
        feed = host.records.feed([kind])

        with anyio.fail_after(10):
            while host.records.find(kind, name) is None:
                await anext(feed)

    def _result(self, method: str) -> Mapping[str, Any]:
        lists: dict[str, list[Any] | None] = {
            "tools": self.tools,
            "resources": self.resources,
            "resourceTemplates": self.templates,
            "prompts": self.prompts,
        }

        if method == "server/discover":
            declared = {
                "tools": self.tools is not None,
                "resources": self.resources is not None or self.templates is not None,
                "prompts": self.prompts is not None,
            }
            return {
                "supportedVersions": ["2026-07-28"],
                "capabilities": {
                    **{name: {} for name, is_there in declared.items() if is_there},
                    **self.capabilities,
                },
                "ttlMs": 0,
                "cacheScope": "private",
            }

        if method in _KEYS:
            key = _KEYS[method]
            return {key: lists[key] or [], "ttlMs": 0, "cacheScope": "private"}

        return self.results.get(method, {})
