"""The answer on the wire: one write for a whole one, its framing, and heads that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.ingress.wire import wired

if TYPE_CHECKING:
    from spindle_spi.types import Message, Receive, Scope, Send

GET = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")


async def answer(*events: Message, to: bytes = GET) -> tuple[bytes, bytes, type[Exception] | None]:
    """Return head and body of these events as a client reads them, and what `send` raised."""
    raised: list[type[Exception]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            for event in events:
                await send(event)
        except Exception as exc:
            raised.append(type(exc))
            raise

    async with wired(app=app) as wire:
        head, _, body = (await wire.ask(to)).partition(b"\r\n\r\n")

    return head, body, raised[0] if raised else None


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_a_body_of_said_length_comes_as_it_is() -> None:
    """In one piece or several, behind one head."""
    for pieces in ([b"hello"], [b"he", b"llo"], [b"", b"hello"]):
        events = [body(piece, more=piece is not pieces[-1]) for piece in pieces]
        head, came, _ = await answer(start((b"Content-Length", b"5")), *events)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert head.count(b"HTTP/1.1") == 1
        assert came == b"hello"


async def test_a_body_without_a_length_comes_in_chunks() -> None:
    """The last one may be empty, and so may the whole body."""
    head, came, _ = await answer(start(), body(b"hello", more=True), body(b""))
    assert head.endswith(b"connection: close\r\ntransfer-encoding: chunked")
    assert came == b"5\r\nhello\r\n0\r\n\r\n"
    assert (await answer(start(), body(b"")))[1] == b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "to", "headers"),
    [(204, GET, ()), (304, GET, ()), (200, HEAD, ()), (200, HEAD, ((b"content-length", b"5"),))],
)
async def test_an_answer_that_has_no_body_is_only_a_head(
    status: int, to: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """No chunk ends it; a length is the one that GET would have."""
    head, came, raised = await answer(start(*headers, status=status), body(b""), to=to)
    assert head.startswith(b"HTTP/1.1 %d" % status)
    assert b"chunked" not in head
    assert (came, raised) == (b"", None)


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\0b"),
        (b"x: a\r\ny", b"b"),
        (b"x y", b"b"),
        (b"", b"b"),
        (b"transfer-encoding", b"chunked"),
        (b"content-length", b"five"),
    ],
)
async def test_a_header_that_would_be_read_as_another_is_not_sent(
    header: tuple[bytes, bytes],
) -> None:
    """Nothing of such an answer goes out."""
    head, came, raised = await answer(start(header), body(b"hello"))
    assert raised is not None
    assert b"set-cookie" not in head + came
    assert b"hello" not in came


@pytest.mark.parametrize("pieces", [[b"hell"], [b"hello!"], [b"hel", b"l"]])
async def test_a_body_that_is_not_as_long_as_was_said_cuts_the_connection(
    pieces: list[bytes],
) -> None:
    """The client cannot take it for a whole one."""
    events = [body(piece, more=piece is not pieces[-1]) for piece in pieces]
    _, came, raised = await answer(start((b"content-length", b"5")), *events)
    assert raised is RuntimeError
    assert len(came) < 5


@pytest.mark.parametrize(
    "events",
    [(body(b"x"),), (start(), start()), (start(), body(b"x"), body(b"y")), ({"type": "other"},)],
)
async def test_events_in_another_order_are_refused(events: tuple[Message, ...]) -> None:
    """A head, then its body, then nothing."""
    assert (await answer(*events))[2] is RuntimeError
