"""The audit log over REST: pages, filters, export; nothing changes it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle.audit import AuditEntry
from tests.core.catalog.desk import Desk, open_desk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.types import JsonObject


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with open_desk(tmp_path) as desk:
        context = desk.heart.resolve(desk.tokens["red"])

        for number in range(5):
            entry = AuditEntry(action="users.create", target=f"user{number}", after={"n": number})
            await desk.core.audit.record(context, entry)

        desk.gate.ingress.refusals = desk.core.refusals
        yield desk


def items(data: JsonObject) -> list[dict[str, object]]:
    found = data["items"]
    assert isinstance(found, list)
    return [dict(item) for item in found if isinstance(item, dict)]


async def test_entries_come_in_pages_the_newest_first(desk: Desk) -> None:
    """The cursor goes on after the last one shown, whatever is added meanwhile."""
    first = await desk.ask("GET", "audit?limit=3")
    await desk.core.audit.record(
        desk.heart.resolve(desk.tokens["root"]), AuditEntry(action="late.entry", target="x")
    )
    second = await desk.ask("GET", f"audit?limit=3&cursor={first.data['next_cursor']}")
    targets = [item["target"] for item in [*items(first.data), *items(second.data)]]
    assert targets == [f"user{number}" for number in (4, 3, 2, 1, 0)]
    assert second.data["next_cursor"] is None
    entry = items(first.data)[0]
    assert entry["actor"] == "red@example.org"
    assert entry["after"] == {"n": 4}
    assert str(entry["at"]).endswith("+00:00")


async def test_a_refused_request_is_an_entry(desk: Desk) -> None:
    """Without a token, with a bad one, without the permission; found by its request's id."""
    refused = await desk.ask("GET", "audit", by="red")
    assert refused.status == 403
    desk.tokens["bad"] = "spn_bad-token-that-nobody-has"
    assert (await desk.ask("GET", "audit", by="bad")).status == 401
    await desk.core.audit.flush()
    shown = items((await desk.ask("GET", "audit?decision=denied")).data)
    assert [item["action"] for item in shown] == ["audit.read", "audit.read"]
    assert {item["target"] for item in shown} == {"GET /admin/api/v1/audit"}
    assert [item["client_ip"] for item in shown] == ["127.0.0.1", "127.0.0.1"]
    assert "spn_bad" not in str(shown)
    wanted = refused.headers[b"x-request-id"].decode()
    (entry,) = items((await desk.ask("GET", f"audit?request_id={wanted}")).data)
    assert entry["actor"] == "red@example.org"


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("action=users.create", 5),
        ("action=users.*", 5),
        ("action=teams.*", 0),
        ("target=user2", 1),
        ("actor=red@example.org", 5),
        ("since=2020-01-01T00:00:00Z", 5),
        ("since=2020-01-01", 5),
        ("until=1577836800", 0),
    ],
)
async def test_a_filter_narrows(desk: Desk, query: str, number: int) -> None:
    """In the list and in the export alike."""
    shown = items((await desk.ask("GET", f"audit?{query}")).data)
    exported = (await desk.ask("GET", f"audit/export?{query}")).raw
    assert len(shown) == number
    assert [json.loads(line) for line in exported.splitlines()] == shown


@pytest.mark.parametrize(
    "query", ["decision=maybe", "since=yesterday", "since=2030-99-01", "who=me"]
)
async def test_a_filter_with_a_fault_does_not_widen_the_answer(desk: Desk, query: str) -> None:
    """It is refused."""
    assert (await desk.ask("GET", f"audit?{query}")).status == 400


async def test_an_export_of_many_comes_in_parts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is bounded in memory, whatever there is."""
    monkeypatch.setattr("spindle.api.audit._EXPORTED", 2)
    told = await desk.ask("GET", "audit/export")
    assert told.headers[b"content-type"] == b"application/x-ndjson"
    assert len(told.raw.splitlines()) == 5


async def test_nobody_changes_an_entry(desk: Desk) -> None:
    """There is no such route."""
    for method in ("PUT", "POST", "PATCH", "DELETE"):
        assert (await desk.ask(method, "audit")).status == 405
