"""The surfaces of a gateway as rows of a table: a good request to each, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from spindle_spi.types import JsonObject
from tests.journeys.gateway import Gateway
from tests.journeys.raw_http import Answer, Request, send
from tests.journeys.test_refusal_matrix import SHAPES

ENVELOPE: JsonObject = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
HANDSHAKE = "2025-11-25"
MARK = "MARKED TEXT"
"""Where a cell puts its own bytes."""
JSON_HEADERS = {"content-type": "application/json"}
STREAMS = {"accept": "application/json, text/event-stream"}


@dataclass(frozen=True, slots=True)
class Surface:
    """A row: where it is, and what a good request to it looks like."""

    path: str
    body: JsonObject
    shape: str
    method: str = "POST"
    headers: Mapping[str, str | None] | None = None
    settled: str | None = None
    """The kind of record a good request uses."""

    def request(self, token: str, **values: str) -> Request:
        """Return the good request, with the caller's own values in place."""
        text = json.dumps(self.body)
        path = self.path

        for name, value in values.items():
            text = text.replace(f"<{name}>", value)
            path = path.replace(f"<{name}>", value)

        own = {key: value and value.format(**values) for key, value in (self.headers or {}).items()}
        headers = {"authorization": f"Bearer {token}", **JSON_HEADERS, **own}
        return Request(self.method, path, headers, text.encode() if self.body else b"")


def chat(**more: object) -> JsonObject:
    messages = [{"role": "user", "content": MARK}]
    return json.loads(json.dumps({"model": "up~plain", "messages": messages, **more}))  # type: ignore[no-any-return]


def call(meta: JsonObject | None) -> JsonObject:
    params: JsonObject = {"name": "demo__echo", "arguments": {"text": MARK}}
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {**params, "_meta": meta} if meta else params,
    }


MODERN = {
    **STREAMS,
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "demo__echo",
}
LEGACY = {**STREAMS, "mcp-protocol-version": HANDSHAKE, "mcp-session-id": "{session}"}
SURFACES = {
    "chat": Surface("/v1/chat/completions", chat(), "openai", settled="model"),
    "stream": Surface("/v1/chat/completions", chat(stream=True), "openai", settled="model"),
    "connect": Surface(
        "/llmchat/connect", {"user_id": "<user>", "llm": {"model": "up~plain"}}, "envelope"
    ),
    "turn": Surface(
        "/llmchat/chat", {"user_id": "<user>", "message": MARK}, "envelope", settled="model"
    ),
    "disconnect": Surface("/llmchat/disconnect", {"user_id": "<user>"}, "envelope"),
    "modern": Surface("/mcp", call(ENVELOPE), "json-rpc", headers=MODERN, settled="tool"),
    "legacy": Surface("/mcp", call(None), "json-rpc", headers=LEGACY, settled="tool"),
    "server": Surface(
        "/servers/desk/mcp", call(ENVELOPE), "json-rpc", headers=MODERN, settled="tool"
    ),
    "models": Surface("/v1/models", {}, "openai", method="GET"),
    "model": Surface("/v1/models/up~plain", {}, "openai", method="GET"),
    "status": Surface("/llmchat/status/<user>", {}, "envelope", method="GET"),
}
POSTS = [name for name, surface in SURFACES.items() if surface.method == "POST"]
TEXTS = [name for name in POSTS if MARK in json.dumps(SURFACES[name].body)]
"""The surfaces with a text of the client in them."""


@dataclass(frozen=True, slots=True)
class Rig:
    """A gateway, and what its requests need."""

    gateway: Gateway
    user: str
    session: str

    @property
    def url(self) -> str:
        return self.gateway.url

    def good(self, name: str) -> Request:
        return SURFACES[name].request(self.gateway.blue, user=self.user, session=self.session)

    async def check_serving(self, name: str) -> None:
        """The next request is answered, its permit settled, and no trace of a defect is there."""
        before = await self.settled()

        if name == "turn":
            assert (await send(self.url, self.good("connect"))).status == 200

        answer = await send(self.url, self.good(name))
        assert answer.status == 200, answer.text
        assert "error" not in (answer.json if name != "stream" else {})
        kind = SURFACES[name].settled
        expected = {**before, (kind, "ok"): before.get((kind, "ok"), 0) + 1} if kind else before
        assert await self.settled() == expected
        assert "Traceback" not in self.gateway.process.stderr, self.gateway.process.stderr

    async def settled(self) -> dict[tuple[str | None, str], float]:
        """Return how many calls ended how, once no permit is open."""
        with anyio.fail_after(5):
            while (metrics := await self.gateway.process.metrics())["spindle_permits_open"]:
                await anyio.sleep(0.01)

        return {
            (name.split('"')[1], name.split('"')[3]): value
            for name, value in metrics.items()
            if name.startswith("spindle_calls_total{")
        }


async def rig_of(gateway: Gateway) -> Rig:
    """Open the sessions the requests of this file belong to."""
    start: JsonObject = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": HANDSHAKE,
            "capabilities": {},
            "clientInfo": {"name": "by hand", "version": "1"},
        },
    }
    opening = Surface("/mcp", start, "json-rpc", headers=STREAMS)
    answer = await send(gateway.url, opening.request(gateway.blue))
    rig = Rig(gateway, await gateway.token_id("blue"), answer.headers["mcp-session-id"])
    ready: JsonObject = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    told = Surface("/mcp", ready, "json-rpc", headers=LEGACY)
    answer = await send(gateway.url, told.request(gateway.blue, session=rig.session))
    assert answer.status == 202
    return rig


def assert_refused(
    answer: Answer, name: str, status: int = 400, origin: str = "client"
) -> JsonObject:
    """The error is in the surface's shape, says whose it is, and shows nothing of the inside."""
    assert answer.status == status, answer.text
    assert answer.is_whole
    assert answer.headers["x-spindle-origin"] == origin
    assert answer.headers["x-request-id"].startswith("req_")
    assert "Traceback" not in answer.text
    assert 'File "' not in answer.text
    error = answer.json["error"]
    assert isinstance(error, dict)
    expected = SHAPES[SURFACES[name].shape]
    # What the protocol's own library refuses has no data.
    assert error.keys() in (expected, expected - {"data"}), answer.text
    return error
