"""One provider fails in every way there is, and its clients are answered: the page, carried out."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
import httpx2
import nats
import pytest
from nats.aio.subscription import Subscription

from spindle_conformance.upstreams.server import Ending, Play, ScriptedServer, Seen
from spindle_spi.types import JsonObject
from tests.llm.support.gateway import play_of
from tests.llm.support.providers import script
from tests.support.services import NATS, needs_nats
from tests.support.spindle_process import running_spindle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from spindle_spi.types import Json

PAGE = (Path(__file__).resolve().parents[2] / "docs/fallback-story.md").read_text()
BLOCKS = re.compile(r"^```(yaml|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EVENTS = "STORY"
FIRST, SECOND = "http://127.0.0.1:9001", "http://127.0.0.1:9002"

FINE = play_of("plain")
BROKEN = Play(status=500, body=b'{"error":{"message":"stack trace of ours"}}')
LIMITED = Play(status=429, body=b"{}", headers=(("retry-after", "600"),))
SILENT = Play(silent=True, ending=Ending.HANG)
CUT = play_of("cut")


@dataclass(slots=True)
class Story:
    """The gateway, its two providers, and what the first of them does at the moment."""

    client: httpx2.AsyncClient
    events: Subscription
    play: Play = FINE
    calls: int = 0
    asked: int = 0
    told: list[JsonObject] = field(default_factory=list[JsonObject])

    def first(self, seen: Seen) -> Play:
        """Do what the first provider does now."""
        del seen
        self.asked += 1
        return self.play

    async def ask(self, play: Play) -> None:
        """Have the first provider do something, ask for a stream, and tell what became of it."""
        self.play, self.calls = play, self.calls + 1
        body: JsonObject = {
            "model": "first~chat",
            "stream": True,
            "messages": [{"role": "user", "content": "hello"}],
        }
        response = await self.client.post("/v1/chat/completions", json=body)
        route = await self.client.get(f"/llm/routes/{response.headers['x-spindle-route']}")
        assert route.status_code == 200, route.text
        self.told.append(
            {
                "client": _client(response),
                "route": _route(route.json()),
                "usage": await self._usage(),
                "event": await self._event(response.headers["x-request-id"]),
                "health": await self._health(),
            }
        )

    async def _usage(self) -> JsonObject:
        with anyio.fail_after(10):
            while True:
                rows = (await self.client.get("/usage/records")).json()["items"]

                if len(rows) == self.calls:
                    return _picked(rows[0], "status", "served_by", "error_code")

                await anyio.sleep(0.02)

    async def _event(self, request_id: str) -> JsonObject:
        event: dict[str, Any] = {}

        # A message may come twice: whoever keeps a stream of them sorts that out by their ids.
        while event.get("subject") != request_id:
            event = json.loads((await self.events.next_msg(timeout=10)).data)

        attempts = [f"{one['provider']}: {one['outcome']}" for one in event["data"]["attempts"]]
        return {
            "type": event["type"],
            "model_served": event["data"]["model_served"],
            "attempts": [*attempts],
        }

    async def _health(self) -> JsonObject:
        # The read model may be a moment old.
        with anyio.fail_after(10):
            while True:
                response = await self.client.get("/llm/providers/health")
                assert response.status_code == 200, response.text
                (first,) = (p for p in response.json()["providers"] if p["name"] == "first")

                if first["calls"] == self.asked:
                    break

                await anyio.sleep(0.02)

        last = first["last_error"]
        return {
            "error_count": first["error_count"],
            "rate_limit_status": first["rate_limit_status"],
            "breaker": first["breaker"],
            "last_error": None if last is None else last.partition(" (")[0],
        }


def _client(response: httpx2.Response) -> JsonObject:
    """Return what a client saw of a stream."""
    seen: JsonObject = {"status": response.status_code}

    if response.status_code != 200:
        return {**seen, "error": response.json()["error"]["code"]}

    events = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    seen["model"] = json.loads(events[0])["model"]
    last: Json = events[-1] if events[-1] == "[DONE]" else json.loads(events[-1])["error"]["code"]
    return {**seen, "last_event": last}


def _route(record: JsonObject) -> JsonObject:
    """Return a record without what is another in each run."""
    attempts, exclusions = record["attempts"], record["exclusions"]
    assert isinstance(attempts, list)
    assert isinstance(exclusions, list)
    return {
        **_picked(record, "status", "served_by"),
        "attempts": [_picked(one, "provider", "outcome", "status") for one in attempts],
        "exclusions": [_picked(one, "model", "reason") for one in exclusions],
    }


def _picked(entry: Json, *names: str) -> JsonObject:
    assert isinstance(entry, dict)
    return {name: entry[name] for name in names}


async def _serve(
    handler: Callable[[Seen], Play],
    *,
    task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    await ScriptedServer(handler=handler).serve(0, task_status.started)


@asynccontextmanager
async def _events(name: str) -> AsyncGenerator[Subscription]:
    """Yield what is published under a prefix, and forget the stream of that name afterwards."""
    client = await nats.connect(f"nats://{NATS}")  # pyright: ignore[reportUnknownMemberType]

    try:
        yield await client.subscribe(f"{name}.>")  # pyright: ignore[reportUnknownMemberType]
        await client.jetstream().delete_stream(name)  # pyright: ignore[reportUnknownMemberType]
    finally:
        await client.close()


@needs_nats
@pytest.mark.requirement("003-chat-fallback", "003-chat-timeouts", "003-chat-health")
async def test_the_story_of_the_page_is_what_happens(tmp_path: Path) -> None:
    """What the client sees, route record, usage, event and health, step by step."""
    (_, config), *steps = BLOCKS.findall(PAGE)
    told: list[JsonObject] = []

    async with anyio.create_task_group() as group:
        stories: list[Story] = []

        def play(seen: Seen) -> Play:
            return stories[0].first(seen)

        first: str = await group.start(_serve, play)
        second: str = await group.start(_serve, script(FINE))
        name = f"TEST_{uuid4().hex}"
        config = config.replace(FIRST, first).replace(SECOND, second).replace(EVENTS, name)

        async with (
            running_spindle(config, home=tmp_path) as server,
            server.client() as client,
            _events(name) as events,
        ):
            story = Story(client, events)
            stories.append(story)

            for each in (FINE, BROKEN, LIMITED, SILENT, CUT, BROKEN, BROKEN, BROKEN):
                await story.ask(each)

            told = [*story.told[:5], story.told[-1]]

        group.cancel_scope.cancel()

    assert [json.loads(step) for _, step in steps] == told
