"""The wire protocol: what is no HTTP, offers of other protocols, trailers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.journeys.raw_http import Request, exchange, is_answered, read_answer
from tests.support.spindle_process import SpindleProcess, running_spindle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from tests.journeys.raw_http import Answer

CHAT = b'{"model": "mock~echo", "messages": [{"role": "user", "content": "hello"}]}'
H2C = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABk"}


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[SpindleProcess]:
    async with running_spindle(home=tmp_path_factory.mktemp("home")) as running:
        yield running


def chat(
    server: SpindleProcess, headers: Mapping[str, str] | None = None, *, is_chunked: bool = False
) -> bytes:
    authorization = f"Bearer {server.admin_token}"
    request = Request(
        "POST",
        "/v1/chat/completions",
        {"authorization": authorization, **(headers or {})},
        CHAT,
        is_chunked=is_chunked,
    )
    return request.encoded(server.url)


async def ask(server: SpindleProcess, data: bytes) -> Answer:
    return read_answer(await exchange(server.url, data, is_answered))


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_an_offer_of_another_protocol_is_ignored(
    server: SpindleProcess, *, is_chunked: bool
) -> None:
    """Java's client makes it with every first request, and the request is answered whole."""
    answer = await ask(server, chat(server, H2C, is_chunked=is_chunked))
    assert answer.status == 200
    assert "hello" in answer.text


async def test_the_connection_goes_on_after_a_declined_offer(server: SpindleProcess) -> None:
    """The next requests on it are read as ever, one behind the other and offering again."""
    data = chat(server, H2C) + chat(server) + chat(server, H2C) + chat(server)
    whole = await exchange(
        server.url, data, lambda came: came.count(b"HTTP/1.1 200 OK") == 4 and came.endswith(b"}")
    )
    assert whole.count(b"x-request-id") == 4


async def test_thousands_of_offers_in_one_packet_are_read_one_by_one(
    server: SpindleProcess,
) -> None:
    """Each of them is answered; none stands on the shoulders of the one before."""
    data = b"GET /health HTTP/1.1\r\nhost:localhost\r\nconnection:upgrade\r\nupgrade:x\r\n\r\n"
    whole = await exchange(
        server.url, data * 2000, lambda came: came.count(b"HTTP/1.1 200 OK") == 2000
    )
    assert b"HTTP/1.1 400" not in whole


async def test_garbage_behind_a_request_does_not_get_into_its_answer(
    server: SpindleProcess,
) -> None:
    """The answer under way is cut, or whole: nothing else is written into it."""
    streamed = CHAT[:-1] + b', "stream": true}'
    whole = chat(server).replace(CHAT, streamed)
    whole = whole.replace(b"length: %d" % len(CHAT), b"length: %d" % len(streamed))
    came = await exchange(server.url, whole + b"\xff\xff\xff\r\n\r\n")
    assert came.count(b"HTTP/1.1") <= 1


async def test_a_trailer_is_no_header(server: SpindleProcess) -> None:
    """What comes behind a body neither authenticates nor counts as said twice."""
    whole = chat(server, is_chunked=True)
    trailer = f"authorization: Bearer {server.admin_token}\r\n\r\n".encode()
    assert (await ask(server, whole[:-2] + trailer)).status == 200
    bare = whole.replace(f"authorization: Bearer {server.admin_token}\r\n".encode(), b"")
    assert (await ask(server, bare[:-2] + trailer)).status == 401


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"FOO / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 0\r\ncontent-length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\ncontent-length: 5, 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\nhello",
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nx: a\r\n folded\r\ncontent-length: 0\r\n\r\n",
        b"GET / HTTP/1.1\nhost: localhost\n\n",
        b"GET / HTTP/1.1\r\nx: a\0b\r\n\r\n",
    ],
)
async def test_what_is_no_http_or_could_be_read_in_two_ways_is_refused(
    server: SpindleProcess, data: bytes
) -> None:
    """400 in our envelope, with an id, and the connection is closed."""
    answer = read_answer(await exchange(server.url, data))
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    error = json.loads(answer.text)["error"]
    assert (error["code"], error["origin"]) == ("core.http_invalid", "client")
    assert error["traceId"] == answer.headers["x-request-id"]
    assert (await ask(server, chat(server))).status == 200
