"""The Responses surface over a socket's upstream: its grammar, and what is kept of a response."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.plays import play_for
from spindle_conformance.upstreams.server import Ending, Play, Seen
from tests.llm.support.gateway import Client, gateway, play_of, until
from tests.llm.support.records import CONTEXT

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject
    from tests.llm.support.gateway import Gateway

pytestmark = pytest.mark.anyio

PATH = "/v1/responses"
STRANGER = replace(
    CONTEXT, subject=replace(CONTEXT.subject, user_email="eve@example.org", token_id="t-eve")
)


async def ask(up: Gateway, **body: object) -> Client:
    data = json.dumps({"model": "up~m", "input": "hi", **body}).encode()
    return await up.ask(data, path=PATH)


def events_of(client: Client) -> list[JsonObject]:
    found: list[JsonObject] = []

    for block in client.content.decode().strip().split("\n\n"):
        name, _, data = block.partition("\n")
        event: JsonObject = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)

    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


async def test_a_response_is_answered_and_kept() -> None:
    """Whole, under the unified name, and read again by its id."""
    async with gateway(play_of("plain", stream=False)) as up:
        client = await ask(up, metadata={"k": "v"})
        assert client.status == 200
        made = client.json
        kept = await up.ask(path=f"{PATH}/{made['id']}", method="GET")
        listed = await up.ask(path=f"{PATH}/{made['id']}/input_items", method="GET")

    assert made["object"] == "response"
    assert (made["status"], made["model"], made["metadata"]) == ("completed", "up~m", {"k": "v"})
    (item,) = entries(made, "output")
    (part,) = entries(item, "content")
    assert str(part["text"]).startswith("Grüße")
    assert isinstance(made["usage"], dict)
    assert made["usage"]["total_tokens"] == 30
    assert kept.json == made
    (said,) = entries(listed.json, "data")
    assert said["content"] == [{"type": "input_text", "text": "hi"}]


@pytest.mark.parametrize("model", ["plain", "reasoning", "parallel-tools", "length", "usage-less"])
async def test_a_stream_tells_what_unary_answers(model: str) -> None:
    """Event by event, in the order of the grammar; its last event holds the whole."""

    def play(seen: Seen) -> Play:
        assert isinstance(seen.json, dict)
        return play_for({**seen.json, "model": model})

    async with gateway(play) as up:
        whole = (await ask(up, store=False)).json
        events = events_of(await ask(up, store=False, stream=True))

    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    last = events[-1]["response"]
    assert isinstance(last, dict)
    assert kinds[-1] == f"response.{last['status']}"

    for name in ("status", "incomplete_details", "usage"):
        assert last[name] == whole[name]

    assert unnamed(last) == unnamed(whole)
    added = [event for event in events if event["type"] == "response.output_item.added"]
    done = [event for event in events if event["type"] == "response.output_item.done"]
    assert [event["output_index"] for event in added] == list(range(len(added)))
    assert [event["item"] for event in done] == last["output"]

    for event in events:
        if str(event["type"]).endswith("text.done"):
            deltas = "".join(
                str(other["delta"])
                for other in events
                if other["type"] == str(event["type"]).replace(".done", ".delta")
            )
            assert deltas == event["text"]


def unnamed(response: JsonObject) -> list[JsonObject]:
    """The output without the ids, which are of one response alone."""
    output = response["output"]
    assert isinstance(output, list)
    return [{**item, "id": None} for item in output if isinstance(item, dict)]


async def test_a_later_response_goes_on_from_an_earlier_one() -> None:
    """With what was said and answered, but not with its instructions."""
    async with gateway(play_of("plain", stream=False)) as up:
        first = (await ask(up, instructions="be brief")).json
        second = await ask(up, input="more", previous_response_id=first["id"])
        sent = up.received["messages"]
        missing = await ask(up, previous_response_id="resp_none")

    assert second.json["previous_response_id"] == first["id"]
    assert isinstance(sent, list)
    assert [message["role"] for message in sent if isinstance(message, dict)] == [
        "user",
        "assistant",
        "user",
    ]
    assert missing.status == 404


async def test_a_stranger_finds_nothing() -> None:
    """On every route, as if it did not exist."""
    async with gateway(play_of("plain", stream=False)) as up:
        made = (await ask(up)).json["id"]

        for method, tail in (
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/cancel"),
            ("GET", "/input_items"),
        ):
            theirs = await up.ask(path=f"{PATH}/{made}{tail}", method=method, context=STRANGER)
            absent = await up.ask(path=f"{PATH}/resp_0{tail}", method=method, context=STRANGER)
            assert theirs.status == absent.status == 404
            assert str(theirs.json).replace(str(made), "X") == str(absent.json).replace(
                "resp_0", "X"
            )

        used = json.dumps({"model": "up~m", "input": "hi", "previous_response_id": made}).encode()
        assert (await up.ask(used, path=PATH, context=STRANGER)).status == 404


async def test_a_deleted_response_is_gone() -> None:
    """For its owner too; so is one that was not to be kept."""
    async with gateway(play_of("plain", stream=False)) as up:
        made = (await ask(up)).json["id"]
        deleted = await up.ask(path=f"{PATH}/{made}", method="DELETE")
        again = await up.ask(path=f"{PATH}/{made}", method="DELETE")
        unkept = (await ask(up, store=False)).json["id"]
        read = await up.ask(path=f"{PATH}/{unkept}", method="GET")

    assert deleted.json == {"id": made, "object": "response", "deleted": True}
    assert (again.status, read.status) == (404, 404)


@pytest.mark.parametrize("model", ["in-stream-error", "cut"])
async def test_a_failure_in_the_stream_is_told_and_kept(model: str) -> None:
    """As `error`, then `response.failed`; the upstream's words are not in it."""
    async with gateway(play_of(model)) as up:
        client = await ask(up, stream=True)
        events = events_of(client)
        failed = events[-1]["response"]
        assert isinstance(failed, dict)
        kept = await up.ask(path=f"{PATH}/{failed['id']}", method="GET")

    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert failed["status"] == "failed"
    assert b"sk-upstream" not in client.content
    assert kept.json["status"] == "failed"


async def test_a_response_in_the_background_is_answered_later() -> None:
    """At once it is queued; when it is over, it is read by its id."""
    async with gateway(play_of("plain", stream=False)) as up:
        client = await ask(up, background=True)
        assert client.json["status"] == "queued"
        await up.settled()
        found = client.json

        while found["status"] in ("queued", "in_progress"):
            found = (await up.ask(path=f"{PATH}/{client.json['id']}", method="GET")).json

    assert found["status"] == "completed"
    assert found["output"]
    assert [outcome.status.value for outcome in up.outcomes] == ["ok"]


async def test_a_response_in_the_background_is_cancelled() -> None:
    """The upstream is left, the call settled, and the response says so from then on."""
    async with gateway(Play(silent=True, ending=Ending.HANG)) as up:
        made = (await ask(up, background=True)).json["id"]
        await up.reached()
        cancelled = await up.ask(path=f"{PATH}/{made}/cancel", method="POST")
        at_once = (await up.ask(path=f"{PATH}/{made}", method="GET")).json
        await up.settled()
        await up.left()
        await until(lambda: bool(up.outcomes))
        again = await up.ask(path=f"{PATH}/{made}/cancel", method="POST")
        found = (await up.ask(path=f"{PATH}/{made}", method="GET")).json

    assert cancelled.json["status"] == "cancelled"
    assert at_once["status"] == "cancelled"
    assert again.status == 200
    assert found["status"] == "cancelled"
    assert [outcome.status.value for outcome in up.outcomes] == ["cancelled"]


async def test_only_a_background_response_can_be_cancelled() -> None:
    """Another is over, or its client can close the connection."""
    async with gateway(play_of("plain", stream=False)) as up:
        made = (await ask(up)).json["id"]
        assert (await up.ask(path=f"{PATH}/{made}/cancel", method="POST")).status == 400


async def test_input_items_are_paged() -> None:
    """Newest first unless asked otherwise; a cursor nobody gave is refused."""
    items = [{"role": "user", "content": str(number)} for number in range(3)]

    async with gateway(play_of("plain", stream=False)) as up:
        made = (await ask(up, input=items)).json["id"]
        page = await up.ask(
            path=f"{PATH}/{made}/input_items", method="GET", query="order=asc&limit=2"
        )
        rest = await up.ask(
            path=f"{PATH}/{made}/input_items",
            method="GET",
            query=f"order=asc&after={page.json['last_id']}",
        )
        newest = await up.ask(path=f"{PATH}/{made}/input_items", method="GET", query="limit=1")

        for query in ("order=up", "limit=0", "limit=x", "after=nobody"):
            refused = await up.ask(path=f"{PATH}/{made}/input_items", method="GET", query=query)
            assert refused.status in (400, 404)

    assert page.json["has_more"] is True
    assert rest.json["has_more"] is False
    assert texts(page) + texts(rest) == ["0", "1", "2"]
    assert texts(newest) == ["2"]


def texts(client: Client) -> list[str]:
    return [str(entries(entry, "content")[0]["text"]) for entry in entries(client.json, "data")]


def entries(holder: JsonObject, name: str) -> list[JsonObject]:
    """The objects of a list that is a member."""
    found = holder[name]
    assert isinstance(found, list)
    return [entry for entry in found if isinstance(entry, dict)]
