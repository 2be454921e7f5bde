"""The module between two real sockets: the gateway's own server before it, an upstream behind it.

A case is one way through it: a surface, an upstream's dialect, a plugin that looks or none.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import SocketStream

from spindle_conformance.upstreams.server import Ending, Play, Seen
from spindle_conformance.upstreams.simulators import SIMULATORS
from spindle_spi.records import ProviderSpec
from spindle_spi.types import Json
from tests.core.ingress.wire import Wire, wired
from tests.llm.support.gateway import Gateway, gateway
from tests.llm.support.records import Word, model

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from spindle_spi.types import JsonObject

SAID: Final[dict[str, tuple[str, JsonObject]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100},
    ),
    "responses": ("/v1/responses", {"input": "hi", "store": False}),
    "embeddings": ("/v1/embeddings", {"input": "hi"}),
}
"""What is asked of each surface."""
HALF = "half"
"""A model whose stream stops in the middle and hangs."""
WAIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A way from a client to an upstream."""

    surface: str
    kind: str = "openai"
    hooked: bool = False
    options: Mapping[str, Json] | None = None

    @property
    def name(self) -> str:
        """Its name in a test's id."""
        path = "parsed" if self.hooked else "plain"
        return f"{self.surface}-{self.kind}-{path}"

    def request(self, name: str, *, stream: bool) -> bytes:
        """Return a request for a model as bytes."""
        path, said = SAID[self.surface]
        body = json.dumps({"model": f"up~{name}", **said, **({"stream": True} if stream else {})})
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        return (head + body).encode()


RAW_CHAT = Case(surface="chat")
PARSED_CHAT = Case(surface="chat", hooked=True)
CASES: Final = (
    RAW_CHAT,
    PARSED_CHAT,
    Case(surface="chat", kind="anthropic"),
    Case(surface="chat", kind="ollama", options={"keep_alive": "5m"}),
    Case(surface="messages", kind="anthropic"),
    Case(surface="messages", kind="anthropic", hooked=True),
    Case(surface="messages"),
    Case(surface="responses"),
    Case(surface="responses", hooked=True),
)
"""Raw bytes, a plugin that looks, and every translation."""


@dataclass(frozen=True, slots=True)
class Between:
    """The module between its sockets."""

    up: Gateway
    wire: Wire

    @asynccontextmanager
    async def asked(self, request: bytes, *, receive_buffer: int = 0) -> AsyncGenerator[Caller]:
        """Send a request on a connection of its own, which the end of the block closes."""
        stream = await _connected(self.wire.port, receive_buffer)

        async with stream:
            await stream.send(request)
            yield Caller(stream)

    async def ask(self, request: bytes) -> bytes:
        """Send a request and return the whole answer."""
        async with self.asked(request) as caller:
            await caller.read_until(_is_whole)
            return bytes(caller.came)

    async def let_go(self) -> None:
        """Wait until the upstream saw its last client leave: a second, by the promise."""
        with anyio.fail_after(1):
            await self.up.left()


class Caller:
    """A client's end of a connection."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self.came = bytearray()

    async def read_until(self, is_enough: Callable[[bytes], bool]) -> None:
        """Read until it is enough."""
        with anyio.fail_after(WAIT_SECONDS):
            while not is_enough(bytes(self.came)):
                self.came += await self._stream.receive()


def has_begun(came: bytes) -> bool:
    """Tell whether an event of a stream is here."""
    return b"data: " in came


@asynccontextmanager
async def between(
    case: Case,
    *names: str,
    play: Callable[[Seen], Play] | None = None,
    spec: ProviderSpec | None = None,
    section: JsonObject | None = None,
) -> AsyncGenerator[Between]:
    """Run the module for a case; what upstream models do is in their names, or in `play`."""
    wanted = replace(
        spec or ProviderSpec(provider_type="", long_timeout=30.0),
        provider_type=case.kind,
        options=dict(case.options or {}),
    )
    handler = simulated(case.kind) if play is None else play

    async with gateway(handler, *map(model, names), spec=wanted, section=section) as up:
        if case.hooked:
            up.host.plugins.append(Word())

        async with wired(app=up.serve) as wire:
            yield Between(up, wire)


def simulated(kind: str) -> Callable[[Seen], Play]:
    """Return a vendor's simulator, with a model whose stream stops in its middle."""
    made = SIMULATORS[kind](key=None, quirks=set())

    def play(seen: Seen) -> Play:
        if f'"{HALF}"'.encode() not in seen.body:
            return made.answer(seen)

        body = seen.body.replace(f'"{HALF}"'.encode(), b'"plain"')
        whole = made.answer(replace(seen, body=body))
        return replace(whole, body=whole.body[: len(whole.body) // 2], ending=Ending.HANG)

    return play


async def _connected(port: int, receive_buffer: int) -> SocketStream:
    if not receive_buffer:
        return await anyio.connect_tcp("127.0.0.1", port)

    plain = socket.socket()
    # Before it connects: how much it takes is told in the handshake.
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.connect(("127.0.0.1", port))
    return await SocketStream.from_socket(plain)


def _is_whole(came: bytes) -> bool:
    head, gap, rest = came.partition(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return bool(gap) and (len(rest) == int(length) if length else rest.endswith(b"0\r\n\r\n"))
