"""Route records: why a call was answered by whom, for its owner alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_conformance.upstreams.server import Play
from spindle_spi.context import Subject
from spindle_spi.records import ModelSpec, Visibility
from tests.llm.support.providers import providers
from tests.llm.support.records import CONTEXT, model

if TYPE_CHECKING:
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import Json, JsonObject
    from tests.llm.support.gateway import Client
    from tests.llm.support.providers import Providers

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("000-module-owns-streaming")]

BROKEN = Play(status=500, body=b"{}")


def _someone(name: str, *teams: str) -> AuthenticatedContext:
    subject = Subject(user_email=f"{name}@x", token_id=name, token_teams=teams)
    return replace(CONTEXT, subject=subject)


async def _read(up: Providers, route_id: str, reader: AuthenticatedContext = CONTEXT) -> Client:
    return await up.gateway.ask(method="GET", path=f"/llm/routes/{route_id}", context=reader)


def _field(entries: Json, name: str) -> list[Json]:
    assert isinstance(entries, list)
    return [entry[name] for entry in entries if isinstance(entry, dict)]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_says_where_its_route_is_recorded(stream: bool) -> None:
    """What was asked, what it meant, who could answer, who was asked, and who did."""
    first = model("plain", of="one", fallbacks=("two~plain",))

    async with providers({"one": BROKEN, "two": answer}, first, model("plain", of="two")) as up:
        client = await up.chat("one~plain", stream=stream)
        record = await up.route(client)

    assert record["id"] == client.headers["x-spindle-route"]
    assert (record["asked"], record["model"]) == ("one~plain", "one~plain")
    assert (record["resolved_by"], record["status"]) == ("name", "ok")
    assert record["request_id"] == CONTEXT.trace.request_id
    assert record["candidates"] == [
        {"model": "one~plain", "provider": "one"},
        {"model": "two~plain", "provider": "two"},
    ]
    assert _field(record["attempts"], "provider") == ["one", "two"]
    assert _field(record["attempts"], "outcome") == ["upstream_error", "ok"]
    assert _field(record["attempts"], "status") == [500, 200]
    assert record["served_by"] == "two~plain"
    assert record["exclusions"] == []


async def test_a_call_that_failed_has_a_record_too() -> None:
    """The error's answer names it; what was not asked says why."""
    first = model("plain", of="one", fallbacks=("two~plain",))
    wrong = Play(status=401, body=b"{}")
    assert isinstance(first.spec, ModelSpec)
    first = replace(first, spec=replace(first.spec, fallback_on=("rate_limit",)))

    async with providers({"one": wrong, "two": answer}, first, model("plain", of="two")) as up:
        client = await up.chat("one~plain")
        record = await up.route(client)

    assert client.status == 502
    assert (record["status"], record["error_code"]) == ("error", "upstream_auth")
    assert record["served_by"] is None
    assert _field(record["exclusions"], "model") == ["two~plain"]
    assert _field(record["exclusions"], "reason") == ["not on error"]


async def test_somebody_elses_record_is_one_that_is_not_there() -> None:
    """The same bytes, whichever it is; another token of the same person reads it."""
    async with providers({"one": answer}, model("plain", of="one")) as up:
        route_id = (await up.chat("one~plain")).headers["x-spindle-route"]
        theirs = await _read(up, route_id, _someone("eve", "red"))
        absent = await _read(up, "pm_0_1", _someone("eve", "red"))
        subject = replace(CONTEXT.subject, token_id="t2")
        own = await _read(up, route_id, replace(CONTEXT, subject=subject))

    assert (theirs.status, theirs.content) == (absent.status, absent.content)
    assert theirs.status == 404
    assert own.status == 200


async def test_a_model_the_reader_may_no_longer_know_of_is_not_named() -> None:
    """A fallback is left out of it; when it is the call's own model, all of it is gone."""
    first = model("plain", of="one", fallbacks=("two~plain",))
    team = model("plain", of="two", visibility=Visibility.TEAM, team="red")

    async with providers({"one": BROKEN, "two": answer}, first, team) as up:
        route_id = (await up.chat("one~plain")).headers["x-spindle-route"]
        outside = replace(CONTEXT, subject=replace(CONTEXT.subject, token_teams=()))
        shown = await _read(up, route_id, outside)
        own = (await up.chat("two~plain")).headers["x-spindle-route"]
        gone = await _read(up, own, outside)
        absent = await _read(up, "pm_0_1", outside)

    assert shown.status == 200
    assert b"two" not in shown.content
    assert _field(shown.json["attempts"], "model") == ["one~plain"]
    assert shown.json["served_by"] is None
    assert (gone.status, gone.content) == (404, absent.content)


async def test_records_are_kept_for_a_while_and_not_all_of_them() -> None:
    """The oldest goes first; without any the answers go on."""
    section: JsonObject = {"routing": {"records": 2}}

    async with providers({"one": answer}, model("plain", of="one"), section=section) as up:
        clients = [await up.chat("one~plain") for _ in range(3)]
        ids = [client.headers["x-spindle-route"] for client in clients]
        statuses = [(await _read(up, route_id)).status for route_id in ids]

    assert statuses == [404, 200, 200]
    section = {"routing": {"record_seconds": 1e-9}}

    async with providers({"one": answer}, model("plain", of="one"), section=section) as up:
        client = await up.chat("one~plain")
        assert (await _read(up, client.headers["x-spindle-route"])).status == 404
