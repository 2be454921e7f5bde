"""The module under the kit's host in memory, asked over ASGI as a server would ask it."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from spindle_conformance.fakes import FakeHost
from spindle_conformance.upstreams.plays import play_for
from spindle_conformance.upstreams.server import Play, ScriptedServer, Seen
from spindle_llm import LlmModule
from spindle_llm.relay.folding import Fold
from spindle_spi.errors import PayloadTooLarge
from spindle_spi.ingress import Call
from spindle_spi.module import ModuleContext
from spindle_spi.types import Json, JsonObject, Message, Receive, Scope, Send
from tests.llm.support.records import CONTEXT, SPEC, model, provider

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from spindle_spi.admission import Outcome
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import CatalogRecord, ProviderSpec

SAID: JsonObject = {"messages": [{"role": "user", "content": "hi"}]}


@dataclass(slots=True)
class Client:
    """One client's end of one exchange."""

    body: bytes
    pieces: int = 1
    """How many pieces the body comes in."""
    too_large: bool = False
    """The host refuses the body when it is read."""
    sent: list[Message] = field(default_factory=list[Message])
    arrived: anyio.Event = field(default_factory=anyio.Event)
    """Something was sent to the client."""
    leaves: anyio.Event = field(default_factory=anyio.Event)
    _given: int = 0

    async def receive(self) -> Message:
        """Give the next piece of the body; after it, wait for the client to leave."""
        if self.too_large:
            raise PayloadTooLarge("The body is too large.")

        if self._given < self.pieces:
            size = -(-len(self.body) // self.pieces)
            piece = self.body[self._given * size : (self._given + 1) * size]
            self._given += 1
            return {"type": "http.request", "body": piece, "more_body": self._given < self.pieces}

        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take what the gateway sends."""
        await checkpoint()
        self.sent.append(message)

        if message["type"] == "http.response.body":
            self.arrived.set()

    @property
    def status(self) -> int:
        """The status of the answer."""
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer; no name stands there twice."""
        pairs: list[tuple[bytes, bytes]] = self.sent[0]["headers"]
        headers = {name.decode(): value.decode() for name, value in pairs}
        assert len(headers) == len(pairs)
        return headers

    @property
    def content(self) -> bytes:
        """The whole body of the answer."""
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def is_complete(self) -> bool:
        """Whether the answer has come to its end, once."""
        ends = [not message.get("more_body", False) for message in self.sent[1:]]
        return ends.count(True) == 1 and ends[-1]

    @property
    def json(self) -> JsonObject:
        """The answer as JSON."""
        value: JsonObject = json.loads(self.content)
        return value

    @property
    def error(self) -> JsonObject:
        """The error object of the answer, or of a stream's last event."""
        text = self.content

        if self.headers["content-type"].startswith("text/event-stream"):
            text = self.events[-1].encode()

        error: Json = json.loads(text)["error"]
        assert isinstance(error, dict)
        assert set(error) == {"message", "type", "param", "code"}
        return error

    @property
    def events(self) -> list[str]:
        """The data of a stream's events; comments are left out."""
        text = self.content.decode()
        assert text.endswith("\n\n")
        blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
        assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
        return [block.removeprefix("data: ") for block in blocks]

    @property
    def chunks(self) -> list[JsonObject]:
        """The chunks of a stream that ended well."""
        *chunks, done = self.events
        assert done == "[DONE]"
        return [json.loads(chunk) for chunk in chunks]

    def folded(self) -> JsonObject:
        """The chunks put together."""
        fold = Fold()

        for chunk in self.chunks:
            fold.add(chunk)

        return fold.answer()


@dataclass(slots=True)
class Gateway:
    """A running module, its host, and its upstream."""

    module: LlmModule
    host: FakeHost
    upstream: ScriptedServer
    url: str
    group: TaskGroup

    async def ask(
        self,
        body: JsonObject | bytes = b"",
        *,
        path: str = "/v1/chat/completions",
        method: str = "POST",
        client: Client | None = None,
        context: AuthenticatedContext = CONTEXT,
        headers: dict[str, str] | None = None,
        query: str = "",
    ) -> Client:
        """Carry out one exchange."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        client = Client(data) if client is None else client
        pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        handler, parts = self._handler(method, path)
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": pairs,
            "path_params": parts,
        }
        await handler(scope, client.receive, client.send, Call(context))
        return client

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one exchange of a real server: its ASGI application."""
        handler, parts = self._handler(scope["method"], scope["path"])
        await handler({**scope, "path_params": parts}, receive, send, Call(CONTEXT))

    async def chat(self, model: str = "up~m", *, stream: bool = False, **body: Json) -> Client:
        """Ask for a chat."""
        said: JsonObject = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        return await self.ask({**said, "stream": stream, **body})

    @property
    def received(self) -> JsonObject:
        """The body of the last request the upstream got."""
        value = self.upstream.seen[-1].json
        assert isinstance(value, dict)
        return value

    @property
    def outcomes(self) -> list[Outcome]:
        """How calls ended, in order."""
        return [settled.outcome for settled in self.host.journal.settled]

    async def settled(self) -> None:
        """Wait until a call is settled."""
        await until(lambda: bool(self.outcomes))

    async def reached(self) -> None:
        """Wait until the upstream has got a request."""
        await until(lambda: bool(self.upstream.seen))

    async def left(self) -> None:
        """Wait until the upstream has seen its client leave."""
        await until(lambda: bool(self.upstream.seen) and self.upstream.seen[-1].client_left)

    def start(self, client: Client) -> None:
        """Begin an exchange and do not wait for its end."""

        async def ask() -> None:
            await self.ask(client=client)

        self.group.start_soon(ask)

    def _handler(
        self, method: str, path: str
    ) -> tuple[Callable[..., Awaitable[None]], dict[str, str]]:
        for route in self.module.routes:
            pattern = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", route.path)
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
            match = re.fullmatch(pattern, path)

            if route.method == method and match is not None:
                return route.handler, match.groupdict()

        raise AssertionError(f"no route {method} {path}")


@asynccontextmanager
async def gateway(
    play: Callable[[Seen], Play] | Play,
    *records: CatalogRecord,
    spec: ProviderSpec = SPEC,
    section: JsonObject | None = None,
    chunk: int = 0,
) -> AsyncGenerator[Gateway]:
    """Run the module against an upstream that plays what it is told, over a socket."""

    def always(seen: Seen) -> Play:
        del seen
        assert isinstance(play, Play)
        return play

    server = ScriptedServer(handler=always if isinstance(play, Play) else play, chunk=chunk)
    addresses: list[str] = []
    ready = anyio.Event()

    def announce(url: str) -> None:
        addresses.append(url)
        ready.set()

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, 0, announce)
            await ready.wait()
            up = provider(url=addresses[0], spec=spec)
            host = FakeHost([up, *(records or (model("m"),))])

            async with running(host, section) as module:
                yield Gateway(module, host, server, addresses[0], group)

            group.cancel_scope.cancel()


@asynccontextmanager
async def running(host: FakeHost, section: JsonObject | None = None) -> AsyncGenerator[LlmModule]:
    """Run the module as a host would: in one task, until the block ends."""
    module = LlmModule()
    started = anyio.Event()

    async with anyio.create_task_group() as group:

        def spawn(name: str, work: Callable[[], Awaitable[None]]) -> None:
            async def named() -> None:
                await work()

            group.start_soon(named, name=name)

        context = ModuleContext(
            services=host.services_for("llm"), config=section or {}, spi_version="1.0", spawn=spawn
        )

        async def run() -> None:
            await module.run(context, started.set)

        group.start_soon(run)
        await started.wait()
        yield module
        group.cancel_scope.cancel()


def chat_bytes(name: str, *, stream: bool = False) -> bytes:
    """Return the bytes of a chat request."""
    return json.dumps({**SAID, "model": name, "stream": stream}).encode()


def play_of(name: str, *, stream: bool = True) -> Play:
    """Return what the simulated upstream does for a model."""
    return play_for({"model": name, "stream": stream, **SAID})


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    with anyio.fail_after(5):
        while not holds():
            await checkpoint()
