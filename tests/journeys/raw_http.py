"""HTTP by hand over a socket: requests no client library would send, answers as they came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from anyio.abc import SocketStream

    from spindle_spi.types import Json, JsonObject

_SECONDS = 15.0
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be sent; a header whose value is None is left out."""

    method: str
    path: str
    headers: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    body: bytes = b""
    is_chunked: bool = False

    def encoded(self, url: str) -> bytes:
        """Return the request as bytes, whatever is wrong with it."""
        headers: dict[str, str | None] = {"host": urlsplit(url).netloc, **self.headers}

        if self.is_chunked:
            headers["transfer-encoding"] = "chunked"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(self.body), self.body)
        else:
            headers.setdefault("content-length", str(len(self.body)))
            body = self.body

        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool
    """It ended the way its head promised."""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> JsonObject:
        """The body; of an event stream its last event."""
        text = self.text

        if self.headers.get("content-type", "").startswith("text/event-stream"):
            text = [line for line in text.splitlines() if line.startswith("data:")][-1][5:]

        value: Json = json.loads(text)
        assert isinstance(value, dict), text
        return value


async def send(url: str, request: Request) -> Answer:
    """Send a request on a connection of its own and return what came back.

    It does not ask for a close: that would let the kernel throw away, with what is still being
    sent, the answer to it.
    """
    return read_answer(await exchange(url, request.encoded(url), is_answered))


def is_answered(data: bytes) -> bool:
    """Tell whether one whole answer is there."""
    if b"\r\n\r\n" not in data:
        return False

    answer = read_answer(data)
    return answer.is_whole and bool({"content-length", "transfer-encoding"} & answer.headers.keys())


async def exchange(
    url: str, data: bytes, is_enough: Callable[[bytes], bool] = lambda _: False
) -> bytes:
    """Send bytes; return what comes until it is enough, or until the other side closes."""
    received = bytearray()

    with anyio.fail_after(_SECONDS):
        async with connected(url) as stream, anyio.create_task_group() as group:
            group.start_soon(_push, stream, data)

            try:
                while not is_enough(bytes(received)):
                    received += await stream.receive()

                group.cancel_scope.cancel()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                group.cancel_scope.cancel()

    return bytes(received)


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[SocketStream]:
    """Connect to a server; the connection is closed at the end, whatever state it is in."""
    parts = urlsplit(url)
    stream = await anyio.connect_tcp(parts.hostname or "", parts.port or 0)

    async with stream:
        yield stream


def read_answer(data: bytes) -> Answer:
    """Take an answer apart."""
    head, gap, rest = data.partition(b"\r\n\r\n")
    assert gap, f"no whole head: {data[:200]!r}"
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    is_whole = True

    if headers.get("transfer-encoding") == "chunked":
        rest, is_whole = _joined(rest)
    elif "content-length" in headers:
        is_whole = len(rest) == int(headers["content-length"])

    return Answer(int(first.split()[1]), headers, rest, is_whole)


async def _push(stream: SocketStream, data: bytes) -> None:
    try:
        for start in range(0, len(data), _PIECE):
            await stream.send(data[start : start + _PIECE])
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        # It has heard enough: its answer tells why.
        return


def _joined(rest: bytes) -> tuple[bytes, bool]:
    """Return a chunked body, and whether its last chunk came."""
    body = bytearray()

    while rest:
        size, gap, rest = rest.partition(b"\r\n")

        if not gap:
            break

        count = int(size, 16)

        if not count:
            return bytes(body), True

        body += rest[:count]
        rest = rest[count + 2 :]

    return bytes(body), False
