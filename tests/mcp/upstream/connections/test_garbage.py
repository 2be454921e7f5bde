"""What an older upstream may answer in place of an answer; the current protocol's are elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle_conformance.fakes import FakeHost, caller
from spindle_spi.admission import Limits
from tests.mcp.support.clients import connected, error_of, text_of
from tests.mcp.support.records import gateway
from tests.mcp.support.serving import serving
from tests.mcp.support.upstream import Handshaking

if TYPE_CHECKING:
    from spindle_spi.types import ASGIApp, Receive, Scope, Send

pytestmark = pytest.mark.anyio

JSON, EVENTS = b"application/json", b"text/event-stream"
GARBAGE: dict[str, tuple[int, bytes, bytes]] = {
    "a page": (200, b"text/html", b"<html>login please</html>"),
    "half": (200, JSON, b'{"jsonrpc":'),
    "no object": (200, JSON, b"[1]"),
    "another answer": (200, JSON, b'{"jsonrpc":"2.0","id":9999,"result":{"content":[]}}'),
    "no result": (200, JSON, b'{"jsonrpc":"2.0","id":%d}'),
    "no content": (200, JSON, b'{"jsonrpc":"2.0","id":%d,"result":{"content":"hi"}}'),
    "events that are none": (200, EVENTS, b"data: {\n\ndata: [1]\n\n: nothing\n\n"),
    "a stream that ends": (200, EVENTS, b""),
    "nothing": (202, JSON, b""),
    "a fault": (500, b"text/plain", b"secret-of-the-upstream"),
    "bytes": (200, JSON, b"\xff\xfe\x00"),
}


def answering(garbage: tuple[int, bytes, bytes]) -> Any:
    """Put something before an upstream that answers calls of `fail` with garbage."""
    status, kind, body = garbage

    def guarded(app: ASGIApp) -> ASGIApp:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            first = await receive() if scope["method"] == "POST" else None

            if first is not None and b'"fail"' in first["body"]:
                identity = json.loads(first["body"])["id"]
                said = body.replace(b"%d", str(identity).encode())
                headers = [(b"content-type", kind)]
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": said})
                return

            messages = [] if first is None else [first]

            async def replay() -> Any:
                return messages.pop() if messages else await receive()

            await app(scope, replay, send)

        return serve

    return guarded


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_of_an_older_upstream_fails_one_call_in_time(name: str) -> None:
    """The gateway is named, what it said is not; the next call works."""
    host = FakeHost()
    host.limits = Limits(timeout=1.0)
    upstream = Handshaking(guarded=answering(GARBAGE[name]))

    async with upstream.running() as url:
        host.records.add(gateway("up", url=url, era="legacy"))

        async with (
            serving(host, {"a": caller("a")}, wait_for=4) as served,
            connected(served.endpoint()) as client,
        ):
            with anyio.fail_after(5):
                error = await error_of(client, "up__fail", {})

            assert await text_of(client, "up__echo", {"text": "next"}) == "next"

    assert "'up'" in error.message
    assert error.data["origin"] == "upstream"
    assert "secret" not in f"{error.message}{error.data}"
