from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp.server import Server
from mcp.server.sse import SseServerTransport

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.upstream.connections.base import Endpoint
from spindle_mcp.upstream.connections.connect import open_own, open_upstream
from spindle_mcp.upstream.faults import SessionLost, Unreachable
from spindle_spi.errors import GatewayError, UpstreamError
from spindle_spi.records import GatewaySpec
from spindle_spi.secret import Secret
from spindle_spi.types import JsonObject
from tests.mcp.support.clients import ERAS, connected, error_of, text_of
from tests.mcp.support.records import gateway, has_tool, logged
from tests.mcp.support.requests import tool_call
from tests.mcp.support.serving import listening, serving
from tests.mcp.support.upstream import Handshaking

if TYPE_CHECKING:
    from spindle_spi.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio

CALLERS = {"a": caller("a")}
SPEC = GatewaySpec(transport="sse", url="http://x")


@dataclass
class EventStream:
    """The transport of 2024, to the byte: what a POST brings is answered on the stream."""

    target: str = "/messages?session=1"
    status: int = 202
    """Of POSTs that call a tool."""
    stream_status: int = 200
    kind: bytes = b"text/event-stream"
    posts: list[tuple[dict[str, str], JsonObject]] = field(
        default_factory=list[tuple[dict[str, str], JsonObject]]
    )
    streams: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    cut: anyio.Event = field(default_factory=anyio.Event)
    """Ends the streams."""
    left: anyio.Event = field(default_factory=anyio.Event)
    wrap: Callable[[bytes], bytes] = bytes
    """What becomes of an event before it is sent."""
    events: list[bytes] = field(default_factory=list[bytes])
    news: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}

        if scope["method"] == "GET":
            self.streams.append(headers)
            await self._stream(receive, send)
            return

        body = b""

        while True:
            part = await receive()
            body += part.get("body", b"")

            if not part.get("more_body"):
                break

        message: Any = json.loads(body)
        self.posts.append((headers, message))
        is_call = message["method"] == "tools/call"
        status = self.status if is_call else 202
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"secret-of-the-upstream"})

        if status == 202 and "id" in message:
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": self._result(message)}
            self.events.append(f"event: message\ndata: {json.dumps(answer)}\n\n".encode())
            self.news.set()

    async def _stream(self, receive: Receive, send: Send) -> None:
        async def say(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

        start = [(b"content-type", self.kind)]
        await send({"type": "http.response.start", "status": self.stream_status, "headers": start})
        await say(b": hello\n\n")

        if self.target:
            await say(f"event: endpoint\r\ndata: {self.target}\r\n\r\n".encode())

        async with anyio.create_task_group() as group:

            async def relay() -> None:
                while True:
                    await self.news.wait()
                    self.news = anyio.Event()

                    while self.events:
                        await say(self.wrap(self.events.pop(0)))

            async def leave() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

                self.left.set()
                group.cancel_scope.cancel()

            group.start_soon(relay)
            group.start_soon(leave)
            await self.cut.wait()
            group.cancel_scope.cancel()

    def _result(self, message: Any) -> JsonObject:
        if message["method"] == "initialize":
            capabilities: JsonObject = {"tools": {}}
            return {"protocolVersion": "2024-11-05", "capabilities": capabilities}

        if message["method"] == "tools/list":
            tool: JsonObject = {"name": "echo", "inputSchema": {"type": "object"}}
            return {"tools": [tool]}

        text = str(message["params"]["arguments"].get("text"))
        return {"content": [{"type": "text", "text": text}]}


def target(url: str, **fields: Any) -> Endpoint:
    return Endpoint(gateway="up", url=f"{url}/sse", version="1", connect_seconds=5, **fields)


async def until(condition: Any) -> None:
    with anyio.fail_after(10):
        while not condition():
            await anyio.sleep(0.005)


def text(result: Any) -> str:
    return str(result["content"][0]["text"])


async def test_a_server_of_2024_is_used() -> None:
    """Over one stream, with a POST for each message and the credential in all of them."""
    upstream = EventStream()

    async with listening(upstream) as url:
        endpoint = target(url, credential=Secret("k"))

        async with open_upstream(SPEC, endpoint) as connection, anyio.create_task_group() as group:
            assert connection.era == "legacy"
            assert len(await connection.list_all("tools/list", "tools")) == 1

            async def ask(number: int) -> None:
                request = tool_call("echo", {"text": str(number)}, silence=5)
                assert text(await connection.request(request)) == str(number)

            for number in range(20):
                group.start_soon(ask, number)

        with anyio.fail_after(5):
            await upstream.left.wait()

    assert len(upstream.streams) == 1
    seen = [*upstream.streams, *(headers for headers, _ in upstream.posts)]
    assert {headers.get("authorization") for headers in seen} == {"Bearer k"}


async def test_a_client_can_have_a_stream_of_its_own() -> None:
    """It says what the client can do."""
    upstream = EventStream()

    async with (
        listening(upstream) as url,
        open_own(SPEC, target(url), {"sampling": {}}) as connection,
    ):
        assert text(await connection.request(tool_call("echo", {"text": "x"}, silence=5))) == "x"

    params: Any = upstream.posts[0][1]["params"]
    assert params["capabilities"] == {"sampling": {}}


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://127.0.0.1:1/messages",
        "https://127.0.0.1/messages",
        "//evil.example/messages",
        "http://[/",
    ],
)
async def test_messages_go_to_no_other_origin(elsewhere: str) -> None:
    """The credential would go there as well."""
    upstream = EventStream(target=elsewhere)

    async with listening(upstream) as url:
        with pytest.raises(UpstreamError) as raised:
            async with open_upstream(SPEC, target(url, credential=Secret("k"))):
                pass

    assert raised.value.code == "mcp.upstream.invalid_answer"
    assert upstream.posts == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stream_status": 401}, "mcp.upstream.credential_refused"),
        ({"stream_status": 500}, "mcp.upstream.http_error"),
        ({"kind": b"text/html"}, "mcp.upstream.invalid_answer"),
        ({"target": ""}, "upstream_timeout"),
    ],
)
async def test_what_is_no_event_stream_is_a_clear_failure(
    changes: dict[str, Any], code: str
) -> None:
    """In time."""
    async with listening(EventStream(**changes)) as url:
        endpoint = Endpoint(gateway="up", url=f"{url}/sse", version="1", connect_seconds=0.5)

        with pytest.raises(GatewayError) as raised:
            async with open_upstream(SPEC, endpoint):
                pass

    assert raised.value.code == code


async def test_nothing_listening_is_unreachable() -> None:
    """As of every upstream."""
    with pytest.raises(Unreachable):
        async with open_upstream(SPEC, target("http://127.0.0.1:1")):
            pass


async def test_one_message_that_is_not_delivered_fails_alone() -> None:
    """The session goes on; a server that forgot the session says so by 404."""
    upstream = EventStream()

    async with listening(upstream) as url, open_upstream(SPEC, target(url)) as connection:
        upstream.status = 500

        with pytest.raises(Unreachable):
            await connection.request(tool_call("echo", silence=5))

        upstream.status = 404

        with pytest.raises(SessionLost):
            await connection.request(tool_call("echo", silence=5))

        upstream.status = 202
        request = tool_call("echo", {"text": "on"}, silence=5)
        assert text(await connection.request(request)) == "on"


async def test_events_are_bounded_and_garbage_is_skipped() -> None:
    """Whoever waits for a too long one hears so."""
    upstream = EventStream(wrap=lambda event: b"event: message\ndata: {nonsense\n\n" + event)

    async with (
        listening(upstream) as url,
        open_upstream(SPEC, target(url, max_result_bytes=20_000)) as connection,
    ):
        assert text(await connection.request(tool_call("echo", {"text": "hi"}, silence=5))) == "hi"

        with pytest.raises(UpstreamError) as raised:
            await connection.request(tool_call("echo", {"text": "x" * 50_000}, silence=5))

    assert raised.value.code == "mcp.upstream.invalid_answer"


async def test_a_judged_address_is_connected_to() -> None:
    """The name stands in the request and is not resolved again."""
    upstream = EventStream()

    async with listening(upstream) as url:
        named = url.replace("127.0.0.1", "upstream.invalid")

        async with open_upstream(SPEC, target(named, address="127.0.0.1")) as connection:
            assert text(await connection.request(tool_call("echo", {"text": "x"}, silence=5)))

    hosts = {headers["host"].partition(":")[0] for headers, _ in upstream.posts}
    assert hosts == {"upstream.invalid"}


@pytest.mark.parametrize("era", ERAS)
async def test_an_ended_stream_is_opened_anew(era: str) -> None:
    """Who waits is told; the next call has another stream."""
    host, upstream = FakeHost(), EventStream()

    async with listening(upstream) as url:
        host.records.add(gateway("up", transport="sse", url=f"{url}/sse"))

        async with (
            serving(host, CALLERS, wait_for=1) as served,
            connected(served.endpoint(), era=era) as client,
        ):
            upstream.status = 200
            failed: list[str] = []

            async def ask() -> None:
                error = await error_of(client, "up__echo", {})
                failed.append(error.data["code"])

            async with anyio.create_task_group() as group:
                group.start_soon(ask)
                await until(lambda: upstream.posts[-1][1]["method"] == "tools/call")
                upstream.cut.set()

            upstream.cut = anyio.Event()
            upstream.status = 202
            assert await text_of(client, "up__echo", {"text": "again"}) == "again"

    assert failed == ["mcp.upstream.unreachable"]
    assert len(upstream.streams) >= 2
    assert has_tool(host, "up__echo")
    assert logged(host, "mcp.gateway.down")


class OverEvents(Handshaking):
    """The SDK's own server, for another transport."""

    def server(self) -> Server[Any]:
        return Server("upstream", on_list_tools=self._list, on_call_tool=self._call)


async def test_the_servers_of_the_sdk_are_used() -> None:
    """Its own transport of that time."""
    transport, server = SseServerTransport("/messages/"), OverEvents().server()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await transport.handle_post_message(scope, receive, send)
            return

        async with transport.connect_sse(scope, receive, send) as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    async with listening(app) as url, open_upstream(SPEC, target(url)) as connection:
        assert len(await connection.list_all("tools/list", "tools")) == 4
        request = tool_call("echo", {"text": "hi"}, silence=5)
        assert text(await connection.request(request)) == "hi"
