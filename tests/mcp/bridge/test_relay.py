from __future__ import annotations

import io
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.bridge.relay import Bridge
from spindle_mcp.bridge.streams import Writer, reading
from spindle_spi.admission import Status
from spindle_spi.records import CatalogRecord, Kind, ToolSpec, Visibility
from tests.mcp.support.records import demo_host, gateway
from tests.mcp.support.serving import listening, serving
from tests.mcp.support.upstream import ECHO, Scripted, scripted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from spindle_spi.types import JsonObject, Receive, Scope, Send
    from tests.mcp.support.serving import Served

pytestmark = pytest.mark.anyio

META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Talk:
    """A client at the other end of the lines."""

    def __init__(self) -> None:
        self.send, self.lines = anyio.create_memory_object_stream[bytes](100)
        self.heard: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self._news = anyio.Event()

    async def write(self, message: bytes) -> None:
        assert b"\n" not in message
        self.heard.append(json.loads(message))
        self._news.set()
        self._news = anyio.Event()

    async def say(self, message: dict[str, Any] | bytes) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        await self.send.send(line + b"\n")

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        with anyio.fail_after(5):
            while True:
                for message in self.heard:
                    if condition(message):
                        return message

                await self._news.wait()

    async def ask(self, identity: object, method: str, **params: Any) -> dict[str, Any]:
        await self.say({"jsonrpc": "2.0", "id": identity, "method": method, "params": params})
        return await self.until(lambda m: m.get("id") == identity and "method" not in m)


@asynccontextmanager
async def talking(url: str, *, token: str = "a") -> AsyncGenerator[Talk]:
    talk = Talk()
    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
    }

    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(5, read=None)) as client:
        bridge = Bridge(client, url, talk.write, talk.complaints.append)

        with talk.lines:
            async with anyio.create_task_group() as group:
                group.start_soon(bridge.run, talk.lines)

                with talk.send:
                    yield talk


@asynccontextmanager
async def demo(host: FakeHost | None = None) -> AsyncGenerator[Served]:
    host = host or demo_host()

    async with serving(host, {"a": caller("a")}, wait_for=4) as served:
        yield served


async def greet(talk: Talk) -> dict[str, Any]:
    client = {"name": "t", "version": "1"}
    answer = await talk.ask(
        0, "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client
    )
    await talk.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
    return answer


async def test_a_modern_client_lists_and_calls() -> None:
    """Each request carries its own envelope; the bridge adds the headers."""
    async with demo() as served, talking(served.endpoint()) as talk:
        listed = await talk.ask("x", "tools/list", _meta=META)
        assert [tool["name"] for tool in listed["result"]["tools"]][1] == "demo__echo"
        called = await talk.ask(
            2, "tools/call", name="demo__echo", arguments={"text": "hä"}, _meta=META
        )
        assert called["result"]["structuredContent"] == {"text": "hä"}
        unknown = await talk.ask(3, "tools/call", name="none", arguments={}, _meta=META)
        assert unknown["error"]["code"] == -32602


async def test_a_legacy_client_shakes_hands_lists_and_calls() -> None:
    """The session's id and version are kept by the bridge."""
    async with demo() as served, talking(served.endpoint()) as talk:
        assert (await greet(talk))["result"]["protocolVersion"] == "2025-11-25"
        listed = await talk.ask(1, "tools/list")
        assert len(listed["result"]["tools"]) == 4
        called = await talk.ask(2, "tools/call", name="demo__add", arguments={"a": 1, "b": 2})
        assert called["result"]["structuredContent"] == {"sum": 3}


@pytest.mark.parametrize("is_modern", [True, False])
async def test_progress_comes_before_the_answer(is_modern: bool) -> None:
    """As messages of their own."""
    async with demo() as served, talking(served.endpoint()) as talk:
        if not is_modern:
            await greet(talk)

        await talk.ask(
            5,
            "tools/call",
            name="demo__slow",
            arguments={"steps": 2, "delay": 0.01},
            _meta={**(META if is_modern else {}), "progressToken": "p"},
        )

    told = [m["params"]["progress"] for m in talk.heard if m.get("method", "").endswith("progress")]
    assert told == [1.0, 2.0]
    assert talk.heard[-1]["id"] == 5


@pytest.mark.parametrize("is_modern", [True, False])
async def test_a_cancelled_call_is_cancelled_there(is_modern: bool) -> None:
    """In either era by the client's notification."""
    host = demo_host()

    async with demo(host) as served, talking(served.endpoint()) as talk:
        if not is_modern:
            await greet(talk)

        meta: dict[str, Any] = {"_meta": META} if is_modern else {}
        arguments = {"steps": 9, "delay": 20}
        params: dict[str, Any] = {"name": "demo__slow", "arguments": arguments, **meta}
        await talk.say({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params})

        with anyio.fail_after(5):
            while not host.open_permits:
                await anyio.lowlevel.checkpoint()

        await talk.say(
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}}
        )

        with anyio.fail_after(5):
            while not host.journal.settled:
                await anyio.lowlevel.checkpoint()

    assert host.journal.settled[0].outcome.status is Status.CANCELLED


@pytest.mark.parametrize("is_modern", [True, False])
async def test_news_of_changed_tools_comes_through(is_modern: bool) -> None:
    """From the session's stream, or from the one the client asked for."""
    host = demo_host()

    async with demo(host) as served, talking(served.endpoint()) as talk:
        if is_modern:
            wish: dict[str, Any] = {"notifications": {"toolsListChanged": True}, "_meta": META}
            await talk.say(
                {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": wish}
            )
            await talk.until(lambda m: str(m.get("method")).endswith("acknowledged"))
        else:
            await greet(talk)

            with anyio.fail_after(5):
                while (await served.module.stats())["streams"] != 1:
                    await anyio.lowlevel.checkpoint()

        host.records.add(
            CatalogRecord(
                id="n", kind=Kind.TOOL, name="n", module="mcp", spec=ToolSpec(gateway="demo"),
                visibility=Visibility.PUBLIC,
            )
        )  # fmt: skip
        await talk.until(lambda m: m.get("method") == "notifications/tools/list_changed")


async def test_arguments_are_mirrored_into_headers_even_before_any_list() -> None:
    """The endpoint refuses once, the bridge reads the list and asks again."""
    schema: JsonObject = {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    }
    host, script = FakeHost(), Scripted(tools=[{**ECHO, "inputSchema": schema}])

    async with scripted(script) as url:
        host.records.add(gateway("up", url=url))

        async with (
            serving(host, {"a": caller("a")}, wait_for=1) as served,
            talking(served.endpoint()) as talk,
        ):
            called = await talk.ask(
                1, "tools/call", name="up__echo", arguments={"region": "eu"}, _meta=META
            )

    assert "result" in called
    assert [message.get("id") for message in talk.heard] == [1]
    assert len(script.calls()) == 1


@pytest.mark.parametrize(
    ("line", "code"), [(b"{", -32700), (b"[]", -32600), (b"\xff", -32700), (b"7", -32600)]
)
async def test_what_is_no_message_is_answered_and_forgotten(line: bytes, code: int) -> None:
    """The next request works."""
    async with demo() as served, talking(served.endpoint()) as talk:
        await talk.say(line)
        assert (await talk.until(lambda m: "error" in m))["error"]["code"] == code
        assert "result" in await talk.ask(1, "server/discover", _meta=META)


async def test_a_refused_token_and_an_absent_gateway_are_said_to_the_client() -> None:
    """As the answer to its request, with its id."""
    async with demo() as served, talking(served.endpoint(), token="wrong") as talk:
        refused = await talk.ask(4, "tools/list", _meta=META)
        assert refused["error"]["code"] == -32001

    async with talking("http://127.0.0.1:1/mcp") as talk:
        failed = await talk.ask(4, "tools/list", _meta=META)
        assert failed["error"]["message"].startswith("The gateway did not answer")
        assert talk.complaints


async def test_a_gateway_that_answers_nonsense_is_said_to_the_client() -> None:
    """No line of it reaches standard output."""
    async with scripted(Scripted(is_broken=True)) as url, talking(url) as talk:
        failed = await talk.ask(4, "tools/list", _meta=META)

    assert "HTTP status 200" in failed["error"]["message"]


class Chatty:
    """An older endpoint that asks something by itself, and whose streams end."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            self.streams += 1
            await self._stream(send)
            return

        message = json.loads((await receive()).get("body", b"") or b"{}")
        self.told.append({"method": scope["method"], **message})

        if message.get("method") == "initialize":
            result = {"protocolVersion": "2025-06-18"}
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
            await self._answer(send, 200, body)
        elif message.get("method") == "tools/call":
            await self._answer(send, 200, b"[]")
        else:
            await self._answer(send, 202, b"")

    async def _stream(self, send: Send) -> None:
        if self.streams > 2:
            await self._answer(send, 405, b"")
            return

        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        question = b'data: {"jsonrpc":"2.0","id":77,"method":"ping"}\n\n'
        rest = b"" if self.streams == 1 else b"data: {\n\n"
        await send({"type": "http.response.body", "body": question + rest})

    async def _answer(self, send: Send, status: int, body: bytes) -> None:
        headers = [(b"content-type", b"application/json"), (b"mcp-session-id", b"s1")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def test_what_an_older_endpoint_asks_is_put_to_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its answer is carried back, ended streams are opened anew, and the session is left."""
    monkeypatch.setattr("spindle_mcp.bridge.relay._STREAM_PAUSE", 0.01)
    chatty = Chatty()

    async with listening(chatty) as url:
        async with talking(url) as talk:
            await greet(talk)
            await talk.until(lambda m: m.get("method") == "ping")
            await talk.say({"jsonrpc": "2.0", "id": 77, "result": {}})
            odd = await talk.ask(3, "tools/call", name="x")
            assert "no message" in odd["error"]["message"]

            with anyio.fail_after(5):
                while chatty.streams < 3 or not any("result" in m for m in chatty.told):
                    await anyio.sleep(0.005)

        assert chatty.told[-1]["method"] == "DELETE"
        assert "event stream: it answered with something that is no JSON" in talk.complaints


async def test_lines_are_read_to_their_end_and_written_whole() -> None:
    """From blocking streams, as standard input and output are."""
    long = b"x" * 200_000

    async with reading(io.BytesIO(b"one\n\ntwo\n" + long + b"\nthree")) as lines:
        assert [line async for line in lines] == [b"one", b"", b"two", long, b"three"]

    target = io.BytesIO()
    writer = Writer(target)

    async with anyio.create_task_group() as group:
        for word in (b"a" * 1000, b"b" * 1000):
            group.start_soon(writer.write, word)

    assert sorted(target.getvalue().split()) == [b"a" * 1000, b"b" * 1000]
