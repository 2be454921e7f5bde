"""The gateway is killed under load: ledger and events are those of the answers clients saw."""

from __future__ import annotations

import json
import signal
import sqlite3
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
import httpx2
import nats
import pytest

from spindle.events.completed import CHAT, EMBEDDING
from tests.support.services import NATS, needs_nats
from tests.support.spindle_process import SpindleProcess, running_spindle

if TYPE_CHECKING:
    from pathlib import Path

CHATS = {"model": "mock~plain", "messages": [{"role": "user", "content": "hello"}]}
VECTORS = {"model": "mock~embed", "input": "hello"}
WORKERS = 8
ANSWERS = 120


def settled(home: Path) -> dict[str, str]:
    """Return the ids of all usage rows by the request they belong to."""
    with sqlite3.connect(home / "spindle.db") as database:
        return dict(database.execute("SELECT request_id, id FROM usage WHERE status = 'ok'"))


async def answers_until_killed(
    server: SpindleProcess, path: str, body: dict[str, object]
) -> set[str]:
    """Ask until there are enough answers, kill it, return the request ids of whole answers."""
    seen: set[str] = set()

    async def work() -> None:
        async with server.client() as client:
            while True:
                try:
                    answer = await client.post(path, json=body)
                except httpx2.HTTPError:
                    return

                assert answer.status_code == 200, answer.text
                seen.add(answer.headers["x-request-id"])

                if len(seen) == ANSWERS:
                    server.process.send_signal(signal.SIGKILL)

    async with anyio.create_task_group() as group:
        for _ in range(WORKERS):
            group.start_soon(work)

    return seen


@needs_nats
@pytest.mark.requirement("003-chat-event", "003-embed-event")
@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [("/v1/chat/completions", CHATS, CHAT), ("/v1/embeddings", VECTORS, EMBEDDING)],
    ids=["chat", "embeddings"],
)
async def test_after_a_kill_nothing_that_was_answered_is_missing(
    tmp_path: Path, path: str, body: dict[str, object], kind: str
) -> None:
    """With a window of 0: each answer has its row and its event, and no event is there twice."""
    name = f"TEST_{uuid4().hex}"
    config = {
        "usage": {"flush_seconds": 0},
        "events": {
            "backend": "nats",
            "nats_url": f"nats://{NATS}",
            "stream": name,
            "subject_prefix": f"{name}.",
        },
    }
    client = await nats.connect(f"nats://{NATS}")  # pyright: ignore[reportUnknownMemberType]
    jetstream = client.jetstream()  # pyright: ignore[reportUnknownMemberType]

    try:
        async with running_spindle(config, home=tmp_path) as server:
            seen = await answers_until_killed(server, path, body)
            await server.ended()

        rows = settled(tmp_path)
        assert len(seen) >= ANSWERS
        assert seen <= rows.keys()
        # What is more was in flight: settled, and killed before its answer went out.
        assert len(rows) - len(seen) <= WORKERS

        async with running_spindle(config, home=tmp_path):
            with anyio.fail_after(30):
                while await waiting(tmp_path):
                    await anyio.sleep(0.05)

        consumer = await jetstream.pull_subscribe(f"{name}.{kind}", stream=name)
        events = [
            json.loads(message.data) for message in await consumer.fetch(len(rows) * 2, timeout=2)
        ]
        ids = [event["id"] for event in events]
        assert len(ids) == len(set(ids))
        assert {event["subject"]: event["id"] for event in events} == rows
    finally:
        await jetstream.delete_stream(name)
        await client.close()


async def waiting(home: Path) -> int:
    """Return how many events are not published yet."""
    with sqlite3.connect(home / "spindle.db") as database:
        (count,) = database.execute("SELECT count(*) FROM outbox").fetchone()

    return int(count)
