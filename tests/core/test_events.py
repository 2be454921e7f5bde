"""Events of completed calls: the outbox, its dispatcher, and NATS JetStream for real."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
import nats
import pytest

from spindle.config.events import EventSettings
from spindle.events import build_events
from spindle.events.bus import Bus
from spindle.events.completed import (
    CHAT,
    CHAT_FAILED,
    EMBEDDING,
    EMBEDDING_FAILED,
    EVENT_TYPES,
    Completions,
)
from spindle.events.dispatcher import Dispatcher
from spindle.events.jetstream import keeps
from spindle.store.outbox import add_events
from spindle.store.rows import Companion, OutboxRow
from spindle_spi.admission import Attempt, Embedded, Outcome, Status, TokenUsage
from spindle_spi.errors import Unavailable
from spindle_spi.policy import Action
from spindle_spi.records import Kind, ModelSpec, Target
from tests.core.heart import open_heart
from tests.core.store.opened import opened, usage
from tests.support.services import NATS, needs_nats

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle.store import Store

OPEN = Target(kind=Kind.MODEL, name="up~open")
MEMORY = EventSettings(backend="memory")
DONE = Outcome(
    status=Status.OK,
    usage=TokenUsage(input_tokens=1000, output_tokens=500),
    attempts=(Attempt(backend="up", target="up~open", outcome="ok", milliseconds=2.0),),
    total_ms=3.0,
    finish_reasons=("stop",),
)


class Receiver:
    """Takes events, unless it is told to fail."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.is_away = False
        self.fails_at: str | None = None

    async def publish(self, event: OutboxRow) -> None:
        await anyio.lowlevel.checkpoint()

        if self.is_away or event.id == self.fails_at:
            raise Unavailable("away")

        self.ids.append(event.id)

    async def close(self) -> None:
        return


def dispatcher(store: Store, receiver: Receiver, settings: EventSettings = MEMORY) -> Dispatcher:
    return Dispatcher(settings, store, receiver, Bus(), Completions("/x"))


async def put(store: Store, *numbers: int, at: float = 5e9) -> None:
    """Write rows, each with its event."""
    rows = [replace(usage(number), id=f"e{number:04}") for number in numbers]
    companions = [
        Companion(
            id=row.id, event=OutboxRow(id=row.id, at=at + number, type=CHAT, body=f'"{row.id}"')
        )
        for number, row in zip(numbers, rows, strict=True)
    ]
    await store.usage.add_many(rows, companions)


async def test_events_go_out_in_order_and_are_gone(database_url: str) -> None:
    """Whatever order they were written in."""
    async with opened(database_url) as store:
        await put(store, *reversed(range(450)))
        receiver = Receiver()
        assert await dispatcher(store, receiver).publish_waiting()
        assert receiver.ids == [f"e{number:04}" for number in range(450)]
        assert await store.outbox.count() == 0


async def test_what_cannot_go_out_stays_in_its_place(database_url: str) -> None:
    """Nothing overtakes it, and the next try goes on there."""
    async with opened(database_url) as store:
        await put(store, *range(5))
        receiver = Receiver()
        receiver.fails_at = "e0002"
        sending = dispatcher(store, receiver)
        assert not await sending.publish_waiting()
        assert not await sending.publish_waiting()
        assert receiver.ids == ["e0000", "e0001"]
        receiver.fails_at = None
        assert await sending.publish_waiting()
        assert receiver.ids == [f"e{number:04}" for number in range(5)]


async def test_two_processes_share_an_outbox(database_url: str) -> None:
    """Each event goes out of one of them."""
    async with opened(database_url) as one, opened(database_url) as two:
        await put(one, *range(600))
        receiver = Receiver()

        async with anyio.create_task_group() as group:
            for store in (one, two):
                group.start_soon(dispatcher(store, receiver).publish_waiting)

        assert sorted(receiver.ids) == [f"e{number:04}" for number in range(600)]


async def test_a_claim_ends_before_it_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow receiver does not keep rows that another process may have by then."""
    monkeypatch.setattr("spindle.events.dispatcher._CLAIM_SECONDS", 0.0)

    async with opened(tmp_path) as store:
        await put(store, 1, 2)
        sending = dispatcher(store, Receiver())

        with anyio.move_on_after(0.2):
            await sending.publish_waiting()

        assert await store.outbox.count() == 2


async def test_events_that_nobody_takes_are_dropped_at_last(tmp_path: Path) -> None:
    """The outbox is bounded by age."""
    async with opened(tmp_path) as store:
        await put(store, 1, at=1.0)
        await put(store, 2)
        receiver = Receiver()
        receiver.is_away = True
        await dispatcher(store, receiver).publish_waiting()
        assert await store.outbox.count() == 1


async def test_the_dispatcher_waits_for_what_is_new(tmp_path: Path) -> None:
    """Woken at once by this process; after a failure it waits longer each time."""
    async with opened(tmp_path) as store:
        receiver = Receiver()
        receiver.is_away = True
        sending = dispatcher(store, receiver)
        await put(store, 1)

        with sending.bus.subscribed() as events:
            async with anyio.create_task_group() as group:
                group.start_soon(sending.run)
                await anyio.sleep(0.05)
                receiver.is_away = False

                with anyio.fail_after(5):
                    assert (await events.receive()).id == "e0001"
                    await put(store, 2)
                    sending.wake()
                    assert (await events.receive()).id == "e0002"

                group.cancel_scope.cancel()

        await sending.close()


async def test_a_subscriber_that_is_too_slow_misses_events(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And holds up nobody."""
    monkeypatch.setattr("spindle.events.bus._WAITING", 1)
    bus, event = Bus(), OutboxRow(id="e", at=1.0, type=CHAT, body="{}")

    with bus.subscribed() as events:
        bus.hand_out(event)
        bus.hand_out(event)
        assert events.statistics().current_buffer_used == 1

    bus.hand_out(event)


@pytest.mark.requirement("003-chat-event")
@pytest.mark.requirement("003-chat-entity")
async def test_a_completed_call_is_one_event_without_its_content(tmp_path: Path) -> None:
    """A CloudEvent 1.0 with every field there is; what is no model's has none."""
    async with open_heart(tmp_path, "\nevents: {backend: memory}\n") as heart:
        core, red = heart.core, await heart.caller("red")
        assert core.events is not None
        admission = core.admission

        with core.events.bus.subscribed() as events:
            tool = admission.admit(red, Target(kind=Kind.TOOL, name="ask"), Action.EXECUTE)
            await admission.settle(tool.id, Outcome(status=Status.OK))
            permit = admission.admit(red, OPEN, Action.EXECUTE)
            await admission.settle(permit.id, DONE)
            await core.ledger.flush()
            assert await core.events.publish_waiting()
            event = json.loads(events.receive_nowait().body)
            assert events.statistics().current_buffer_used == 0

        data = event.pop("data")
        event.pop("time")
        assert event == {
            "specversion": "1.0",
            "id": permit.id,
            "source": "/gateway/spindle/llm",
            "type": CHAT,
            "subject": red.trace.request_id,
            "datacontenttype": "application/json",
            "dataschema": "urn:gateway:schema:chat_completed:1",
        }
        assert data == {
            "request_id": red.trace.request_id,
            "principal": red.subject.token_id,
            "provider": "up",
            "model_requested": "up~open",
            "model_served": "up~open",
            "stream": False,
            "attempts": [{"provider": "up", "model": "up~open", "outcome": "ok", "ms": 2.0}],
            "finish_reasons": ["stop"],
            "usage": {
                "input": 1000,
                "output": 500,
                "cache_read": 0,
                "cache_write": 0,
                "reasoning": 0,
                "estimated": False,
            },
            "cost": {"usd": 0.002, "price_version": f"record {permit.record.epoch}"},
            "latency": {"total_ms": 3.0, "first_chunk_ms": None},
            "cache_hit": False,
            "rate_limit_status": "OK",
            "idempotency_key": None,
        }


@pytest.mark.requirement("003-chat-event")
@pytest.mark.parametrize(
    ("outcome", "status", "error", "limited"),
    [
        (
            Outcome(status=Status.ERROR, error_code="upstream_timeout"),
            "error",
            {"category": "UPSTREAM_ERROR", "code": "upstream_timeout"},
            "OK",
        ),
        (
            Outcome(status=Status.ERROR, error_code="rate_limit_exceeded"),
            "error",
            {"category": "RATE_LIMITED", "code": "rate_limit_exceeded"},
            "BLOCKED",
        ),
        (
            Outcome(status=Status.ERROR, error_code="boom"),
            "error",
            {"category": "INTERNAL", "code": "boom"},
            "OK",
        ),
        (
            Outcome(status=Status.DENIED, error_code="plugin.pii"),
            "denied",
            {"category": "PERMISSION_DENIED", "code": "plugin.pii"},
            "OK",
        ),
        (
            Outcome(status=Status.CANCELLED),
            "cancelled",
            {"category": None, "code": None},
            "OK",
        ),
    ],
)
async def test_a_call_that_failed_is_an_event_of_another_type(
    tmp_path: Path, outcome: Outcome, status: str, error: dict[str, str | None], limited: str
) -> None:
    """An extension of the requirement's topics: how it ended, and what failed."""
    event = await settled(tmp_path, outcome)
    data = event["data"]
    assert event["type"] == CHAT_FAILED
    assert event["dataschema"] == "urn:gateway:schema:chat_failed:1"
    assert (data["status"], data["error"]) == (status, error)
    assert data["rate_limit_status"] == limited


async def test_a_limit_on_the_way_to_an_answer_is_told(tmp_path: Path) -> None:
    """Each attempt is told with its own model; the one that answered is the one served."""
    attempts = (
        Attempt(backend="up", target="up~open", outcome="rate_limit_exceeded", milliseconds=1.0),
        Attempt(backend="up", target="up~other", outcome="ok", milliseconds=2.0),
    )
    event = await settled(tmp_path, replace(DONE, attempts=attempts))
    data = event["data"]
    assert data["rate_limit_status"] == "THROTTLED"
    assert [attempt["model"] for attempt in data["attempts"]] == ["up~open", "up~other"]


async def settled(tmp_path: Path, outcome: Outcome) -> dict[str, Any]:
    """Settle a call of a model and return its event."""
    async with open_heart(tmp_path, "\nevents: {backend: memory}\n") as heart:
        core, red = heart.core, await heart.caller("red")
        permit = core.admission.admit(red, OPEN, Action.EXECUTE)
        await core.admission.settle(permit.id, outcome)
        await core.ledger.flush()
        (row,) = await core.store.outbox.claim("p", seconds=1, most=5)
        event: dict[str, Any] = json.loads(row.body)
        return event


@pytest.mark.requirement("003-embed-event")
@pytest.mark.parametrize(
    ("status", "kind"), [(Status.OK, EMBEDDING), (Status.ERROR, EMBEDDING_FAILED)]
)
async def test_what_was_embedded_is_told(tmp_path: Path, status: Status, kind: str) -> None:
    """Count, dimension, a hash, what was kept, and the key of an equal call."""
    made = Embedded(count=2, dimension=8, input_hash="aa", cached_count=1)
    outcome = replace(DONE, status=status, embedded=made, idempotency_key="k" * 300, cache_hit=True)
    event = await settled(tmp_path, outcome)
    assert event["type"] == kind
    told = {
        "count": 2,
        "dimension": 8,
        "input_hash": "aa",
        "cached_count": 1,
        "idempotency_key": "k" * 256,
        "cache_hit": True,
    }
    assert told.items() <= event["data"].items()


async def test_an_embedding_is_an_event_of_its_own(tmp_path: Path) -> None:
    """By its model alone; with the trace it belongs to."""
    async with open_heart(tmp_path, "\nevents: {backend: memory}\n") as heart:
        core, red = heart.core, await heart.caller("red")
        record = core.snapshots.current.by_name[Kind.MODEL, "up~open"]
        assert isinstance(record.spec, ModelSpec)
        spec = replace(record.spec, supports=("embedding",))
        await core.store.catalog.upsert(replace(record, spec=spec))
        await core.snapshots.refresh()
        traced = replace(red, trace=replace(red.trace, traceparent="00-aa-bb-01"))
        permit = core.admission.admit(traced, OPEN, Action.EXECUTE)
        await core.admission.settle(permit.id, DONE)
        await core.ledger.flush()
        (row,) = await core.store.outbox.claim("p", seconds=1, most=5)
        event = json.loads(row.body)
        assert (event["type"], event["traceparent"]) == (EMBEDDING, "00-aa-bb-01")


async def test_nothing_is_made_where_events_go_nowhere(tmp_path: Path) -> None:
    """The default costs nothing."""
    async with open_heart(tmp_path) as heart:
        assert heart.core.events is None
        assert heart.core.admission.completions is None


@asynccontextmanager
async def stream() -> AsyncGenerator[tuple[EventSettings, Any]]:
    """Give settings of a stream of our own and a JetStream context; the stream is deleted."""
    name = f"TEST_{uuid4().hex}"
    settings = EventSettings(
        backend="nats", nats_url=f"nats://{NATS}", stream=name, subject_prefix=f"{name}."
    )
    client = await nats.connect(settings.nats_url)  # pyright: ignore[reportUnknownMemberType]

    try:
        yield settings, client.jetstream()  # pyright: ignore[reportUnknownMemberType]
    finally:
        await client.jetstream().delete_stream(name)  # pyright: ignore[reportUnknownMemberType]
        await client.close()


async def received(jetstream: Any, settings: EventSettings, count: int) -> list[str]:
    """Return what a consumer gets."""
    subject = f"{settings.subject_prefix}>"
    consumer = await jetstream.pull_subscribe(subject, stream=settings.stream)
    messages = await consumer.fetch(count, timeout=5)
    return [json.loads(message.data) for message in messages]


@needs_nats
async def test_jetstream_has_each_event_once(tmp_path: Path) -> None:
    """Also when it is published again because nobody knew that it was."""
    async with stream() as (settings, jetstream), opened(tmp_path) as store:
        await put(store, 1, 2, 3)
        sending = build_events(settings, store)
        assert sending is not None
        assert await sending.publish_waiting()
        await store.database.engine.dispose()

        async with store.database.writing() as connection:
            await add_events(
                connection, [OutboxRow(id="e0002", at=1e10, type=CHAT, body='"again"')]
            )

        assert await sending.publish_waiting()
        await sending.close()
        info = await jetstream.stream_info(settings.stream)
        assert info.state.messages == 3
        assert await received(jetstream, settings, 3) == ["e0001", "e0002", "e0003"]
        again = build_events(settings, store)
        assert again is not None
        await put(store, 4)
        assert await again.publish_waiting()
        await again.close()


@needs_nats
@pytest.mark.parametrize("kept", [None, [CHAT, EMBEDDING], ["llm-provider.>"]])
async def test_every_type_of_event_is_kept(tmp_path: Path, kept: list[str] | None) -> None:
    """By a stream that is made, by one of an earlier version, and by one that keeps more."""
    async with stream() as (settings, jetstream), opened(tmp_path) as store:
        if kept is not None:
            subjects = [f"{settings.subject_prefix}{name}" for name in kept]
            await jetstream.add_stream(name=settings.stream, subjects=subjects)

        async with store.database.writing() as connection:
            rows = [
                OutboxRow(id=f"e{number}", at=1e10 + number, type=kind, body=json.dumps(kind))
                for number, kind in enumerate(EVENT_TYPES)
            ]
            await add_events(connection, rows)

        sending = build_events(settings, store)
        assert sending is not None
        assert await sending.publish_waiting()
        await sending.close()
        assert await received(jetstream, settings, len(EVENT_TYPES)) == list(EVENT_TYPES)


@pytest.mark.parametrize(
    ("pattern", "is_kept"),
    [("a.b", True), ("a.*", True), ("a.>", True), (">", True), ("a", False), ("a.b.c", False)],
)
def test_a_stream_keeps_what_its_subjects_match(pattern: str, is_kept: bool) -> None:
    """Token by token."""
    assert keeps(pattern, "a.b") is is_kept


async def test_without_nats_events_wait(tmp_path: Path) -> None:
    """No request notices."""
    settings = EventSettings(backend="nats", nats_url="nats://127.0.0.1:1")

    async with opened(tmp_path) as store:
        await put(store, 1)
        sending = build_events(settings, store)
        assert sending is not None
        assert not await sending.publish_waiting()
        assert await store.outbox.count() == 1
        await sending.close()
