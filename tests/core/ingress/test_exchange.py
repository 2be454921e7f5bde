"""What passes between a handler and the server, and how an exchange ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
import structlog

from spindle_spi.errors import RateLimited
from tests.core.ingress.support import HOST, START, body, echo, one_route

if TYPE_CHECKING:
    from spindle_spi.ingress import Call
    from spindle_spi.types import Receive, Scope, Send


async def test_a_constant_answer_is_not_changed_by_the_request_id() -> None:
    """A handler may send the same message to everybody; nobody's id sticks to it."""
    gate = one_route()
    first = await gate.ask("POST", "/do")
    second = await gate.ask("POST", "/do")
    assert first.headers[b"x-request-id"] != second.headers[b"x-request-id"]
    assert START["headers"] == [(b"x", b"y")]


async def test_head_is_answered_by_get_without_a_body() -> None:
    """Even where GET streams without end."""
    ended = anyio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, call
        await send(START)

        for _ in range(3):
            await send(body(b"tick", more=True))

        ended.set()

    answer = await one_route(stream, method="GET").ask("HEAD", "/do")
    assert (answer.status, answer.body, answer.is_complete) == (200, b"", True)
    assert ended.is_set()


@pytest.mark.parametrize(
    ("headers", "chunks", "status"),
    [
        ((), (b"x" * 60, b"x" * 40), 200),
        ((), (b"x" * 60, b"x" * 41), 413),
        (((b"content-length", b"100"),), (b"x" * 100,), 200),
        (((b"content-length", b"101"),), (b"never read",), 413),
        (((b"content-length", b"-1"),), (b"",), 400),
    ],
)
async def test_a_body_is_bounded(
    headers: tuple[tuple[bytes, bytes], ...], chunks: tuple[bytes, ...], status: int
) -> None:
    """By its announced length before anything is read, and by what really comes."""
    answer = await one_route().ask("POST", "/do", headers=(HOST, *headers), chunks=chunks)
    assert answer.status == status


async def test_a_route_may_have_its_own_body_limit() -> None:
    """It replaces the host's."""
    assert (await one_route(body_limit=5).ask("POST", "/do", chunks=(b"x" * 6,))).status == 413


async def test_a_refused_body_stays_refused_when_a_handler_swallows_it() -> None:
    """The core's word stands."""

    async def swallow(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, send, call

        with pytest.raises(Exception, match="bytes at most"):
            await receive()

    assert (await one_route(swallow).ask("POST", "/do", chunks=(b"x" * 101,))).status == 413


async def test_a_revoked_token_gets_no_answer_begun() -> None:
    """Revoked while the handler worked: 401, and nothing of the answer."""
    gate = one_route()

    async def work(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        gate.callers.is_revoked = True
        await echo(scope, receive, send, call)

    gate.ingress.table.mounts[0].handler = work
    answer = await gate.ask("POST", "/do", chunks=(b"secret",))
    assert answer.status == 401
    assert b"secret" not in answer.body


@pytest.mark.parametrize("is_stubborn", [False, True])
async def test_the_stream_of_a_revoked_token_is_cut_at_its_next_event(
    is_stubborn: bool,
) -> None:
    """The connection is closed without an end, also under a handler that goes on regardless."""
    gate = one_route()

    async def stream(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, call
        await send(START)
        await send(body(b"one", more=True))
        gate.callers.is_revoked = True

        try:
            await send(body(b"two", more=True))
        except Exception:
            if not is_stubborn:
                raise

    gate.ingress.table.mounts[0].handler = stream

    with structlog.testing.capture_logs() as logs:
        answer = await gate.ask("POST", "/do")

    assert (answer.body, answer.is_complete, answer.is_cut) == (b"one", False, True)
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_an_error_of_the_tree_is_rendered_in_the_routes_shape() -> None:
    """Status, retry headers and code are the error's own."""

    async def refuse(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, send, call
        raise RateLimited("Too fast.", retry_after=1.5)

    answer = await one_route(refuse).ask("POST", "/do")
    assert answer.status == 429
    assert answer.headers[b"retry-after"] == b"2"
    assert answer.headers[b"x-spindle-origin"] == b"policy"
    assert answer.headers[b"content-length"] == b"%d" % len(answer.body)


async def test_a_defect_tells_the_client_nothing_and_the_log_everything() -> None:
    """The two meet in the request id."""

    async def fail(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, send, call
        raise RuntimeError("the password is x")

    with structlog.testing.capture_logs() as logs:
        answer = await one_route(fail).ask("POST", "/do")

    assert answer.status == 500
    assert b"password" not in answer.body
    assert logs[0]["request_id"].encode() == answer.headers[b"x-request-id"]
    assert "password" in str(logs[0]["exc_info"])
    assert logs[0]["owner"] == "sample"


async def test_a_defect_in_the_middle_of_an_answer_closes_the_connection() -> None:
    """Half an answer must not look like a whole one."""

    async def fail(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, call
        await send(START)
        await send(body(b"half", more=True))
        raise RuntimeError

    with structlog.testing.capture_logs():
        answer = await one_route(fail).ask("POST", "/do")

    assert (answer.is_complete, answer.is_cut) == (False, True)


@pytest.mark.parametrize("begins", [False, True])
async def test_a_handler_that_does_not_answer_is_a_defect(begins: bool) -> None:
    """500 when nothing was sent, a closed connection when something was."""

    async def forget(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, call

        if begins:
            await send(START)

    with structlog.testing.capture_logs():
        answer = await one_route(forget).ask("POST", "/do")

    assert (answer.status, answer.is_cut) == ((200, True) if begins else (500, False))


@pytest.mark.parametrize("fails", [False, True])
async def test_a_client_that_leaves_is_not_an_error(fails: bool) -> None:
    """Nobody is left to answer; the measure shows 499 and the log no error."""

    async def wait(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, send, call

        while (await receive())["type"] != "http.disconnect":
            pass

        if fails:
            raise RuntimeError("noticed by an exception")

    gate = one_route(wait)

    with structlog.testing.capture_logs() as logs:
        answer = await gate.ask("POST", "/do", leaves=True)

    assert (answer.status, answer.is_cut) == (0, False)
    assert gate.meter.total("spindle_http_requests_total", route="/do", method="POST", status="499")
    assert [line for line in logs if line["log_level"] != "debug"] == []


async def test_what_a_request_leaves_open_is_ended_with_it() -> None:
    """However the request ends; a request that left nothing ends nothing."""
    gate = one_route()

    async def leave(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        gate.leases.open.add(call.request_id)
        await echo(scope, receive, send, call)
        raise RateLimited("after all")

    await gate.ask("POST", "/do")
    assert gate.leases.ended == []
    gate.ingress.table.mounts[0].handler = leave
    answer = await gate.ask("POST", "/do")
    assert gate.leases.ended == [answer.headers[b"x-request-id"].decode()]


async def test_cancellation_goes_through_and_leaves_nothing_open() -> None:
    """A cancelled request answers 503 if it can still answer, settles, and stays cancelled."""
    gate = one_route()
    working = anyio.Event()

    async def work(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, send
        gate.leases.open.add(call.request_id)
        working.set()
        await anyio.sleep_forever()

    gate.ingress.table.mounts[0].handler = work

    async with anyio.create_task_group() as group:
        group.start_soon(gate.ask, "POST", "/do")
        await working.wait()
        group.cancel_scope.cancel()

    assert len(gate.leases.ended) == 1
    assert gate.ingress.active == 0
    assert gate.meter.total("spindle_http_requests_total", route="/do", method="POST", status="503")


@pytest.mark.parametrize(("status", "origin"), [(200, None), (406, b"client"), (502, b"module")])
async def test_an_error_a_library_made_says_whose_it_is(status: int, origin: bytes | None) -> None:
    """What a handler's library refuses on its own has no origin; by its status it gets one."""

    async def refuse(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, call
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send(body(b""))

    answer = await one_route(refuse).ask("POST", "/do")
    assert (answer.status, answer.headers.get(b"x-spindle-origin")) == (status, origin)
