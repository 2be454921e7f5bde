"""The gateway is told to end under load, and killed: what was answered is in the books."""

from __future__ import annotations

import signal
import sqlite3
from typing import TYPE_CHECKING

import anyio

from tests.journeys.raw_http import Request, exchange, is_answered, read_answer
from tests.support.spindle_process import SpindleProcess, running_spindle, until

if TYPE_CHECKING:
    from pathlib import Path

CHAT = b'{"model": "mock~plain", "messages": [{"role": "user", "content": "hello"}]}'
STREAM = CHAT[:-1] + b', "stream": true}'
WORKERS = 20


def rows(server: SpindleProcess) -> int:
    with sqlite3.connect(server.home / "spindle.db") as database:
        (count,) = database.execute("SELECT count(*) FROM usage").fetchone()

    return int(count)


async def ask(server: SpindleProcess, body: bytes) -> bytes:
    """Return what came back; nothing if nobody listens any more."""
    headers = {"authorization": f"Bearer {server.admin_token}"}
    request = Request("POST", "/v1/chat/completions", headers, body)

    try:
        return await exchange(server.url, request.encoded(server.url), is_answered)
    except OSError:
        return b""


async def test_no_request_is_lost_when_the_server_is_told_to_end(tmp_path: Path) -> None:
    """Whole, or refused as draining, or never taken; and for each whole answer there is a row."""
    whole = refused = 0
    done = anyio.Event()

    async with running_spindle(home=tmp_path) as server:

        async def work(body: bytes) -> None:
            nonlocal whole, refused

            while came := await ask(server, body):
                answer = read_answer(came)
                assert answer.is_whole, answer
                assert answer.status in (200, 503), answer.text

                if answer.status == 503:
                    assert answer.headers["x-spindle-origin"] == "core"
                    refused += 1
                else:
                    assert body is CHAT or "[DONE]" in answer.text
                    whole += 1

                if whole >= 10 * WORKERS:
                    done.set()

        async with anyio.create_task_group() as group:
            for number in range(WORKERS):
                group.start_soon(work, STREAM if number % 2 else CHAT)

            with anyio.fail_after(30):
                await done.wait()

            server.process.send_signal(signal.SIGTERM)

        assert await server.ended() == 0
        assert rows(server) == whole


async def test_a_kill_loses_a_flush_window_at_most(tmp_path: Path) -> None:
    """What is older than the window is written, and the next start serves on."""
    async with running_spindle({"usage": {"flush_seconds": 0.2}}, home=tmp_path) as server:
        for _ in range(30):
            assert read_answer(await ask(server, CHAT)).status == 200

        # One window passes: the rows come in by themselves, nobody asks for them.
        await until(lambda: rows(server) == 30)
        assert read_answer(await ask(server, CHAT)).status == 200
        server.process.kill()
        await server.ended()

    assert 30 <= rows(server) <= 31

    async with running_spindle(home=tmp_path) as server:
        before = rows(server)
        assert read_answer(await ask(server, CHAT)).status == 200

    assert rows(server) == before + 1
