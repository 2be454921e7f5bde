"""What a connection may cost: sizes, times, numbers; and how it is closed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.ingress.bounds import Bounds, Doorkeeper
from tests.core.ingress.wire import read_all, wired

if TYPE_CHECKING:
    from anyio.abc import SocketStream

GET = b"GET /%s HTTP/1.1\r\nhost: x\r\n%s\r\n"


def get(path: bytes = b"", *lines: bytes) -> bytes:
    return GET % (path, b"".join(line + b"\r\n" for line in lines))


def refusal(answer: bytes) -> tuple[int, str]:
    """Return the status and code of a refusal in our envelope, on a connection that is closed."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"x-request-id: req_" in head
    return int(head.split()[1]), str(json.loads(body)["error"]["code"])


async def send_for_ever(stream: SocketStream) -> None:
    while True:
        await stream.send(b"x" * 10_000)


async def read_answer(stream: SocketStream) -> bytes:
    came = b""

    with anyio.fail_after(10):
        while not came.endswith(b"0\r\n\r\n"):
            came += await stream.receive()

    return came


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (get(b"", b"x: " + b"a" * 3000), 431, "core.headers_too_large"),
        (get(b"", *[b"a: b"] * 30), 431, "core.headers_too_large"),
        (get(b"", b"x: " + b"a" * 3000)[:-4], 431, "core.headers_too_large"),
        (get(b"a" * 600), 414, "core.path_too_long"),
        (b"\r\n" * 1500, 431, "core.headers_too_large"),
    ],
)
async def test_a_head_that_is_too_big_is_refused(data: bytes, status: int, code: str) -> None:
    """Whole or not, by its bytes, its headers or its path; nobody is asked about it."""
    bounds = Bounds(request_line_bytes=500, header_bytes=2000, header_count=20)

    async with wired(bounds) as wire:
        assert refusal(await wire.ask(data)) == (status, code)
        assert wire.seen == []


async def test_a_small_head_in_front_of_a_big_body_is_none() -> None:
    """Only the head is counted, in whatever packets it comes; so are requests sent ahead."""
    async with wired(Bounds(header_bytes=2000)) as wire, await wire.connect() as stream:
        await stream.send(get(b"", b"content-length: 9000") + b"x" * 9000)
        assert b"got " in await read_answer(stream)
        await stream.send(get() * 100 + get(b"last")[:10])
        came = b""

        while came.count(b"0\r\n\r\n") < 100:
            came += await stream.receive()

        await stream.send(get(b"last")[10:])
        assert b"HTTP/1.1 200" in await read_answer(stream)


async def test_a_slow_head_is_refused_however_busy_it_looks() -> None:
    """A byte now and then does not count; the bound is on the whole of it."""
    async with wired(Bounds(header_seconds=0.2)) as wire, await wire.connect() as stream:
        await stream.send(b"GET / HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                await anyio.sleep(0.02)
                await stream.send(b"a: b\r\n")

        came = b""

        async with anyio.create_task_group() as group:
            group.start_soon(drip)
            came = await stream.receive()
            group.cancel_scope.cancel()

        assert refusal(came) == (408, "core.request_timeout")
        assert wire.seen == []


async def test_a_later_head_is_bounded_like_the_first() -> None:
    """On a connection that was good so far."""
    async with wired(Bounds(header_seconds=0.2)) as wire, await wire.connect() as stream:
        await stream.send(get())
        await read_answer(stream)
        await stream.send(b"GET / HTTP/1.1\r\n")
        assert refusal(await read_all(stream)) == (408, "core.request_timeout")


async def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    """At the beginning, and idle between two requests."""
    async with wired(Bounds(header_seconds=0.1), keep_alive=1) as wire:
        assert await wire.ask(b"") == b""

        async with await wire.connect() as stream:
            await stream.send(get())
            await read_answer(stream)
            # Longer than the bound on a head, which has not begun.
            await anyio.sleep(0.2)
            await stream.send(get())
            await read_answer(stream)
            assert await read_all(stream) == b""


async def test_a_slow_answer_is_no_pause() -> None:
    """A connection is in use while it is answered, however long ago its last answer ended."""
    async with wired(keep_alive=1) as wire, await wire.connect() as stream:
        await stream.send(get())
        await read_answer(stream)
        await stream.send(get(b"hold"))
        # The setting is in whole seconds.
        await anyio.sleep(1.2)
        wire.release.set()

        assert b"got " in await read_answer(stream)


async def test_a_body_has_to_make_progress() -> None:
    """A byte in every window is none; the handler is told that its client is gone."""
    async with wired(Bounds(body_seconds=0.15)) as wire, await wire.connect() as stream:
        await stream.send(get(b"", b"content-length: 100000") + b"x")

        async def drip() -> None:
            while True:
                await anyio.sleep(0.02)
                await stream.send(b"x")

        came = b""

        async with anyio.create_task_group() as group:
            group.start_soon(drip)
            came = await stream.receive()
            group.cancel_scope.cancel()

        assert refusal(came) == (408, "core.request_timeout")


async def test_a_body_that_makes_progress_may_take_its_time() -> None:
    """Several windows, each with enough; and a handler's own slowness is not the client's."""
    async with wired(Bounds(body_seconds=0.1)) as wire, await wire.connect() as stream:
        await stream.send(get(b"hold", b"content-length: 10000"))

        for _ in range(10):
            await stream.send(b"x" * 1000)
            await anyio.sleep(0.04)

        wire.release.set()
        assert b"10000" in await read_answer(stream)


async def test_a_connection_too_many_is_told_so() -> None:
    """503 and the end; when one leaves there is room again."""
    async with wired(Bounds(max_connections=2)) as wire:
        async with await wire.connect() as one, await wire.connect() as other:
            for stream in (one, other):
                await stream.send(get())
                await read_answer(stream)

            assert refusal(await wire.ask(b"")) == (503, "core.connections_full")

        with anyio.fail_after(5):
            while wire.door.total:
                await anyio.sleep(0.01)

        async with await wire.connect() as stream:
            await stream.send(get())
            assert b"200" in await read_answer(stream)


async def test_far_too_many_connections_are_not_even_answered() -> None:
    """An answer each would be work for nothing."""
    async with wired(Bounds(max_connections=1)) as wire:
        streams = [await wire.connect() for _ in range(3)]
        await streams[0].send(get())
        await read_answer(streams[0])
        assert await read_all(streams[2]) == b""

        for stream in streams:
            await stream.aclose()


async def test_one_address_may_not_take_every_connection() -> None:
    """Its own bound, where there is one."""
    async with wired(Bounds(max_connections_per_address=1)) as wire, await wire.connect() as one:
        await one.send(get())
        await read_answer(one)
        assert refusal(await wire.ask(b""))[0] == 503


def test_what_left_is_forgotten() -> None:
    """An address without connections takes no room."""
    door = Doorkeeper()
    assert door.enter("a")
    assert door.enter("a")
    door.leave("a")
    door.leave("a")
    assert door == Doorkeeper()


@pytest.mark.parametrize("size", [100, 8 * 1024 * 1024])
async def test_a_refused_body_does_not_cost_the_answer(size: int) -> None:
    """The client sends all of it, with `connection: close`, and reads the answer afterwards."""
    async with wired() as wire, await wire.connect() as stream:
        head = get(b"refuse", b"connection: close", b"content-length: %d" % size)
        await stream.send(head + b"x")
        await stream.send(b"x" * (size - 1))
        came = await read_all(stream)

    assert came.startswith(b"HTTP/1.1 413")
    assert came.endswith(b"refused")


async def test_what_is_sent_without_end_after_the_answer_is_not_read_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Up to a size, and for a while."""
    monkeypatch.setattr("spindle.ingress.lingering._BYTES", 1000)

    async with wired() as wire, await wire.connect() as stream:
        await stream.send(get(b"refuse", b"connection: close", b"content-length: 9999999") + b"x")
        await read_all(stream)

        with anyio.fail_after(5), pytest.raises(anyio.BrokenResourceError):
            await send_for_ever(stream)

    monkeypatch.setattr("spindle.ingress.lingering._SECONDS", 0.05)

    async with wired() as wire, await wire.connect() as stream:
        await stream.send(get(b"refuse", b"connection: close", b"content-length: 9999999") + b"x")
        await read_all(stream)

        with anyio.fail_after(5):
            while wire.door.total:
                await anyio.sleep(0.01)


async def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    """The body as it is; the end of the connection is its end."""
    async with wired() as wire:
        came = await wire.ask(b"GET / HTTP/1.0\r\n\r\n")
        sized = await wire.ask(b"GET /refuse HTTP/1.0\r\n\r\n")

    head, _, body = came.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == b"got 0"
    assert sized.endswith(b"content-length: 7\r\nconnection: close\r\n\r\nrefused")


async def test_a_new_bound_is_for_new_connections() -> None:
    """Who is in, stays as he is."""
    async with wired() as wire, await wire.connect() as stream:
        await stream.send(get())
        await read_answer(stream)
        wire.door.bounds = Bounds(header_count=1)
        await stream.send(get(b"", b"a: b"))
        assert b"200" in await read_answer(stream)
        assert refusal(await wire.ask(get(b"", b"a: b")))[0] == 431
