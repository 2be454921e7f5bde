"""Upstream MCP servers for tests: one that follows a script to the byte, one that is the SDK's."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from spindle_spi.types import ASGIApp, JsonObject
from tests.mcp.support.serving import listening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.server import ServerRequestContext

    from spindle_spi.types import Json, Receive, Scope, Send

OBJECT: JsonObject = {"type": "object"}
ECHO: JsonObject = {
    "name": "echo",
    "description": "Say it again.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
}


def text_result(text: str) -> JsonObject:
    return {
        "resultType": "complete",
        "content": [{"type": "text", "text": text}],
        "isError": False,
    }


@dataclass
class Scripted:
    """Speaks 2026-07-28; what `tools/call` answers is decided by the tool's name."""

    tools: list[JsonObject] = field(default_factory=lambda: [ECHO])
    requests: list[tuple[dict[str, str], JsonObject]] = field(
        default_factory=list[tuple[dict[str, str], JsonObject]]
    )
    release: anyio.Event = field(default_factory=anyio.Event)
    """Lets go of calls that hang."""
    reached: anyio.Event = field(default_factory=anyio.Event)
    """Set when a call began to hang."""
    left: anyio.Event = field(default_factory=anyio.Event)
    """Set when the client of a hanging call left."""
    is_broken: bool = False
    """Answers everything with a web page."""
    refuses_lists: bool = False
    page: int = 2
    """Tools a page."""
    lists_nothing: bool = False
    announces: bool = False
    refuses_to_listen: bool = False
    """Although it announces."""
    news: anyio.Event = field(default_factory=anyio.Event)
    before_step: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint
    """Awaited before each step of a call that takes steps."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}

        if self.is_broken:
            await _plain(send, 200, "text/html", b"<html>hello</html>")
            return

        if headers.get("mcp-protocol-version") != "2026-07-28":
            await _plain(send, 400, "text/plain", b"who are you?")
            return

        message: JsonObject = json.loads(body)
        self.requests.append((headers, message))
        await self._answer(message, receive, send)

    def calls(self) -> list[tuple[dict[str, str], JsonObject]]:
        return [entry for entry in self.requests if entry[1]["method"] == "tools/call"]

    async def _answer(self, message: JsonObject, receive: Receive, send: Send) -> None:
        method, identity = message["method"], message["id"]
        params: Any = message["params"]

        if method == "server/discover":
            await self._result(
                send,
                identity,
                {
                    "resultType": "complete",
                    "supportedVersions": ["2026-07-28"],
                    "capabilities": {"tools": {"listChanged": self.announces}},
                    "ttlMs": 0,
                    "cacheScope": "private",
                },
            )
        elif method == "tools/list":
            await self._list(send, identity, params)
        elif method == "subscriptions/listen" and self.refuses_to_listen:
            error: Json = {"code": -32601, "message": "secret-of-the-upstream"}
            await _json(send, 404, {"jsonrpc": "2.0", "id": identity, "error": error})
        elif method == "subscriptions/listen":
            await _start(send, "text/event-stream")
            await _event(send, _note("notifications/subscriptions/acknowledged"))
            await self.news.wait()
            await _event(send, _note("notifications/tools/list_changed"))
            await self.release.wait()
        else:
            await getattr(self, f"_call_{params['name']}", self._call_echo)(message, receive, send)

    async def _list(self, send: Send, identity: Json, params: JsonObject) -> None:
        if self.refuses_lists:
            error: Json = {"code": -32601, "message": "secret-of-the-upstream"}
            await _json(send, 404, {"jsonrpc": "2.0", "id": identity, "error": error})
            return

        if self.lists_nothing:
            await self._result(send, identity, {"resultType": "complete"})
            return

        cursor = params.get("cursor")
        start = int(cursor) if isinstance(cursor, str) else 0
        page: JsonObject = {
            "resultType": "complete",
            "tools": [*self.tools[start : start + self.page]],
            "ttlMs": 0,
            "cacheScope": "private",
        }

        if start + self.page < len(self.tools):
            page["nextCursor"] = str(start + self.page)

        await self._result(send, identity, page)

    async def _call_echo(self, message: JsonObject, receive: Receive, send: Send) -> None:
        params: Any = message["params"]
        await self._result(send, message["id"], text_result(str(params["arguments"].get("text"))))

    async def _call_hang(self, message: JsonObject, receive: Receive, send: Send) -> None:
        self.reached.set()

        async with anyio.create_task_group() as group:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

                self.left.set()
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await self.release.wait()
            await self._result(send, message["id"], text_result("late"))
            group.cancel_scope.cancel()

    async def _call_html(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await _plain(send, 200, "text/html", b"<html>login please</html>")

    async def _call_deny(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await _plain(send, 401, "text/plain", b"secret-of-the-upstream")

    async def _call_fail(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await _plain(send, 500, "text/plain", b"secret-of-the-upstream")

    async def _call_big(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await self._result(send, message["id"], text_result("x" * 100_000))

    async def _call_cut(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await _start(send, "text/event-stream")
        await _event(send, _progress(message, 1))
        raise ConnectionError("the upstream dies here")

    async def _call_steps(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await _start(send, "text/event-stream")

        for step in (1, 2):
            await self.before_step()
            await _event(send, _progress(message, step))

        answer: JsonObject = {
            "jsonrpc": "2.0",
            "id": message["id"],
            "result": text_result("done"),
        }
        await _event(send, answer)
        await send({"type": "http.response.body", "body": b""})

    async def _call_refuse(self, message: JsonObject, receive: Receive, send: Send) -> None:
        error: Json = {"code": -32603, "message": "secret-of-the-upstream"}
        await _json(send, 200, {"jsonrpc": "2.0", "id": message["id"], "error": error})

    async def _call_dislike(self, message: JsonObject, receive: Receive, send: Send) -> None:
        error: Json = {"code": -32602, "message": "secret-of-the-upstream"}
        await _json(send, 400, {"jsonrpc": "2.0", "id": message["id"], "error": error})

    async def _call_ask(self, message: JsonObject, receive: Receive, send: Send) -> None:
        result: JsonObject = {"resultType": "input_required", "requestState": "s"}
        await self._result(send, message["id"], result)

    async def _call_odd(self, message: JsonObject, receive: Receive, send: Send) -> None:
        result: JsonObject = {"resultType": "complete", "content": [{"type": "hologram"}]}
        await self._result(send, message["id"], result)

    async def _call_need(self, message: JsonObject, receive: Receive, send: Send) -> None:
        data: Json = {"requiredCapabilities": {"sampling": {}}}
        error: Json = {"code": -32021, "message": "secret-of-the-upstream", "data": data}
        await _json(send, 400, {"jsonrpc": "2.0", "id": message["id"], "error": error})

    async def _call_slowly(self, message: JsonObject, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/plain"), (b"retry-after", b"7")]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _call_elsewhere(self, message: JsonObject, receive: Receive, send: Send) -> None:
        headers = [(b"location", b"http://127.0.0.1:1/secret")]
        await send({"type": "http.response.start", "status": 307, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _call_other(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await self._result(send, 999, text_result("not yours"))

    async def _call_garbage(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await _plain(send, 200, "application/json", b"{")

    async def _call_array(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await _plain(send, 200, "application/json", b"[1]")

    async def _call_nothing(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await _json(send, 200, {"jsonrpc": "2.0", "id": message["id"]})

    async def _call_flood(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await _start(send, "text/event-stream")
        await _event(send, {"x": "y" * 100_000})
        await send({"type": "http.response.body", "body": b""})

    async def _call_bad(self, message: JsonObject, receive: Receive, send: Send) -> None:
        await _json(send, 400, {"problem": "secret-of-the-upstream"})

    async def _call_list(self, message: JsonObject, receive: Receive, send: Send) -> None:
        result: JsonObject = {**text_result("[1]"), "structuredContent": [1]}
        await self._result(send, message["id"], result)

    async def _result(self, send: Send, identity: Json, result: JsonObject) -> None:
        await _json(send, 200, {"jsonrpc": "2.0", "id": identity, "result": result})


@dataclass
class Handshaking:
    """The SDK's own server; with `is_legacy_only` it refuses what is newer than 2025."""

    is_legacy_only: bool = True
    tools: list[types.Tool] = field(
        default_factory=lambda: [
            types.Tool(name=name, input_schema={"type": "object"})
            for name in ("echo", "steps", "hang", "fail")
        ]
    )
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    traces: list[object] = field(default_factory=list[object])
    """What calls named as their trace."""
    guarded: Callable[[ASGIApp], ASGIApp] = field(default=lambda app: app)
    """Puts something before it."""
    reached: anyio.Event = field(default_factory=anyio.Event)
    cancelled: anyio.Event = field(default_factory=anyio.Event)

    @asynccontextmanager
    async def running(self, *, port: int = 0) -> AsyncGenerator[str]:
        server: Server[Any] = Server(
            "upstream", version="1", on_list_tools=self._list, on_call_tool=self._call
        )
        manager = StreamableHTTPSessionManager(server)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.headers.append(headers)

            if self.is_legacy_only and headers.get("mcp-protocol-version") == "2026-07-28":
                await _plain(send, 400, "text/plain", b"unknown version")
                return

            body = await _body(receive) if scope["method"] == "POST" else b""

            if b"cut-me" in body:
                await _start(send, "application/json")
                await send({"type": "http.response.body", "body": b"{", "more_body": True})
                raise ConnectionError("the upstream dies here")

            await manager.handle_request(scope, _replaying(body, receive), send)

        async with manager.run(), listening(self.guarded(app), port=port) as url:
            yield f"{url}/mcp"

    async def _list(
        self, ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self.tools)

    async def _call(
        self, ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        self.traces.append((ctx.meta or {}).get("traceparent"))

        if params.name == "steps":
            for step in (1.0, 2.0):
                await ctx.session.report_progress(step, 2.0, f"step {step}")

        if params.name == "hang":
            self.reached.set()

            try:
                await anyio.sleep_forever()
            finally:
                self.cancelled.set()

        if params.name == "fail":
            raise types_error()

        text = str((params.arguments or {}).get("text", params.name))
        return types.CallToolResult(content=[types.TextContent(text=text)])


def types_error() -> Exception:
    from mcp.shared.exceptions import MCPError

    return MCPError(-32603, "secret-of-the-upstream")


@asynccontextmanager
async def scripted(script: Scripted, *, port: int = 0) -> AsyncGenerator[str]:
    async with listening(script, port=port) as url:
        yield f"{url}/mcp"
        script.release.set()


def _progress(message: JsonObject, step: int) -> JsonObject:
    params: Any = message["params"]
    token = params["_meta"].get("progressToken")
    return {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": token, "progress": step, "total": 2, "message": f"s{step}"},
    }


async def _body(receive: Receive) -> bytes:
    body = b""

    while True:
        message = await receive()
        body += bytes(message.get("body", b""))

        if not message.get("more_body", False):
            return body


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replay() -> dict[str, Any]:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}

        return dict(await receive())

    return replay


def _note(method: str) -> JsonObject:
    return {"jsonrpc": "2.0", "method": method, "params": {}}


async def _start(send: Send, kind: str, status: int = 200) -> None:
    headers = [(b"content-type", kind.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _plain(send: Send, status: int, kind: str, body: bytes) -> None:
    await _start(send, kind, status)
    await send({"type": "http.response.body", "body": body})


async def _json(send: Send, status: int, message: JsonObject) -> None:
    await _plain(send, status, "application/json", json.dumps(message).encode())


async def _event(send: Send, message: JsonObject) -> None:
    body = f"event: message\r\ndata: {json.dumps(message)}\r\n\r\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})
