"""`/usage`, `/admin/api/v1/budgets` and `/admin/api/v1/limits` behind the ingress."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from spindle.store.budgets import BudgetRow
from spindle.store.rows import Companion, Spending
from spindle.store.spending import SpendKey
from spindle.store.usage_reports import DIMENSIONS, Scope, UsageFilter
from spindle_spi.admission import Attempt
from tests.core.directory.office import Office, Reply, open_office
from tests.core.store.opened import opened, usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from spindle.store import UsageRow

DAY = 86_400.0
START = 1_800_000_000.0 - 1_800_000_000.0 % DAY
"""A midnight."""


@pytest.fixture
async def office(tmp_path: Path) -> AsyncGenerator[Office]:
    async with open_office(tmp_path) as office:
        yield office


def rows() -> list[UsageRow]:
    return [
        replace(
            usage(number),
            at=START + number * DAY / 20,
            token_id=f"tok{number % 3}",
            user_email=("a@x", "b@x", None)[number % 3],
            caller_team=("red", "blue", None)[number % 3],
            record=("=m1", "m2")[number % 2],
            status="ok" if number % 10 else "error",
            cost_usd=0.5 if number % 2 else None,
            attempts=(Attempt(backend="b", target="t", outcome="ok", milliseconds=1.0),),
        )
        for number in range(60)
    ]


async def ask(office: Office, path: str, token: str) -> Reply:
    """Ask for a path that is not under the control plane's base."""
    return await Outside(office).ask(path, token)


@dataclass
class Outside:
    office: Office

    async def ask(self, path: str, token: str, accept: str = "*/*") -> Reply:
        whole, _, query = path.partition("?")
        parts: list[Any] = []
        headers = [
            (b"host", b"127.0.0.1:8080"),
            (b"authorization", f"Bearer {token}".encode()),
            (b"accept", accept.encode()),
        ]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": "GET",
            "path": whole,
            "raw_path": whole.encode(),
            "query_string": query.encode(),
            "headers": headers,
            "client": ("127.0.0.1", 5),
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            parts.append(message)

        await self.office.host.ingress(scope, receive, send)
        return Reply(
            status=parts[0]["status"],
            headers={name.decode(): value.decode() for name, value in parts[0]["headers"]},
            body=b"".join(part["body"] for part in parts[1:]),
        )


async def listed(office: Office, path: str, token: str) -> list[Mapping[str, Any]]:
    """Return the items of all pages."""
    items: list[Mapping[str, Any]] = []
    cursor = ""

    while True:
        said = await ask(office, f"{path}{cursor}", token)
        assert said.status == 200, said.body
        items += said.json["items"]

        if said.json["next_cursor"] is None:
            return items

        cursor = f"&cursor={said.json['next_cursor']}"


async def test_usage_is_summed_by_what_is_asked_for(office: Office) -> None:
    """By each dimension and by several, in pages, between moments, filtered."""
    await office.core.store.usage.add_many(rows())
    admin = await office.admin()
    models = await listed(office, "/usage?by=model&limit=1", admin)
    assert [(row["model"], row["calls"]) for row in models] == [("=m1", 30), ("m2", 30)]
    assert models[0]["by_status"]["error"] == 6
    assert (models[0]["cost_usd"], models[1]["cost_usd"]) == (0, 15)
    assert (models[0]["unpriced_calls"], models[1]["unpriced_calls"]) == (30, 0)
    assert (models[1]["input_tokens"], models[1]["total_tokens"]) == (90, 210)
    days = await listed(office, "/usage?by=day,team&limit=2", admin)
    assert len(days) == 9
    assert {row["day"] for row in days} == {"2027-01-15", "2027-01-16", "2027-01-17"}
    assert {row["team"] for row in days} == {"red", "blue", None}
    hours = await listed(office, f"/usage?by=hour&since={START}&until={START + 7200}", admin)
    assert [row["hour"] for row in hours] == ["2027-01-15T00:00:00Z", "2027-01-15T01:00:00Z"]
    (total,) = await listed(office, "/usage?by=&status=ok&user=a@x", admin)
    assert total["calls"] == 18

    for bad in ("by=nobody", "by=day,day", "since=later", "format=xml", "nil=1", "cursor=x"):
        said = await ask(office, f"/usage?{bad}", admin)
        assert (said.status, said.code) == (400, "invalid_argument"), bad


async def test_single_calls_come_newest_first(office: Office) -> None:
    """In pages; a cursor that is none of ours is refused."""
    await office.core.store.usage.add_many(rows())
    admin = await office.admin()
    found = await listed(office, "/usage/records?limit=7&model=m2", admin)
    assert [row["id"] for row in found] == [f"pm_{n}" for n in range(59, 0, -2)]
    assert found[0]["attempts"][0]["backend"] == "b"
    assert found[0]["caller_team"] == ("red", "blue", None)[59 % 3]

    for cursor in ("IngiCg", "IjEi"):
        said = await ask(office, f"/usage/records?cursor={cursor}", admin)
        assert said.status == 400


async def test_everybody_sees_their_own_usage(office: Office) -> None:
    """Readers see all, or their teams' if their token names teams; so do teams' administrators."""
    await office.core.store.usage.add_many(rows())
    seen = {
        "own by token": await office.give(id="tok2"),
        "own by person": await office.give(user_email=None, id="tok0", teams=("red",)),
        "nothing": await office.give(teams=("red",)),
        "reader": await office.give(role="platform_viewer", teams=()),
        "reader of a team": await office.give(role="platform_viewer", teams=("red",)),
        "administrator of teams": await office.give(role="team_admin", teams=("red", "blue")),
    }
    calls = {
        who: [row["calls"] for row in await listed(office, "/usage?by=", token)]
        for who, token in seen.items()
    }
    assert calls == {
        "own by token": [20],
        "own by person": [20],
        "nothing": [0],
        "reader": [60],
        "reader of a team": [20],
        "administrator of teams": [40],
    }
    stranger = await listed(office, "/usage/records?team=red", seen["nothing"])
    assert stranger == []


async def test_usage_comes_as_csv(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the header or the query, streamed in pages; a cell is no formula."""
    monkeypatch.setattr("spindle.api.usage._CSV_PAGE", 7)
    await office.core.store.usage.add_many(rows())
    admin = await office.admin()
    said = await ask(office, "/usage?by=model,day&format=csv", admin)
    assert said.headers["content-type"] == "text/csv; charset=utf-8"
    table = list(csv.DictReader(io.StringIO(said.body.decode())))
    assert len(table) == 6
    assert {row["model"] for row in table} == {"'=m1", "m2"}
    assert sum(int(row["calls"]) for row in table) == 60
    assert sum(int(row["failed"]) for row in table) == 6
    said = await Outside(office).ask("/usage/records", admin, accept="text/csv")
    assert len(list(csv.DictReader(io.StringIO(said.body.decode())))) == 60
    empty = await ask(office, "/usage/records?format=csv&model=nil", admin)
    assert empty.body.count(b"\n") == 1
    assert (await ask(office, "/usage?format=csv&by=day&model=nil", admin)).body.count(b"\n") == 1


@pytest.mark.parametrize("path", ["/usage", "/usage/records"])
async def test_a_limit_that_is_none_is_refused_in_any_form(office: Office, path: str) -> None:
    """A table has no pages, and a typing error is one all the same."""
    admin = await office.admin()

    for form in ("csv", "json"):
        said = await ask(office, f"{path}?format={form}&limit=-1", admin)
        assert said.status == 400, form


async def test_both_engines_sum_alike(database_url: str) -> None:
    """The same rows, the same groups in the same order."""
    async with opened(database_url) as store:
        await store.usage.add_many(rows())
        which = UsageFilter(scope=Scope(is_everything=True), equal={})

        for name in DIMENSIONS:
            found = await store.usage_reports.grouped([name], which, after=None, most=100)
            assert sum(row.calls for row in found) == 60, name
            assert [row.cursor for row in found] == sorted(row.cursor for row in found)
            rest = await store.usage_reports.grouped([name], which, after=found[0].cursor, most=100)
            assert rest == found[1:]

        hours = await store.usage_reports.grouped(["hour"], which, after=None, most=2)
        assert [row.group["hour"] for row in hours] == [
            "2027-01-15T00:00:00Z",
            "2027-01-15T01:00:00Z",
        ]


async def test_budgets_are_made_changed_and_removed(office: Office) -> None:
    """With tags against lost updates; what is spent is shown."""
    admin = await office.admin()
    body = {"scope": "team", "name": "red", "period": "total", "limit_usd": 5.0}
    made = await office.ask("POST", "/budgets", body, token=admin)
    assert made.status == 201
    path = f"/budgets/{made.json['id']}"
    assert made.headers["location"].endswith(path)
    assert (await office.ask("POST", "/budgets", body, token=admin)).code == "core.budget.exists"
    key = SpendKey(budget_id=made.json["id"], holder="red", period_start=0)
    spends = Spending(keys=(key,), process="p", nano=10**9, tokens=3)
    await office.core.store.usage.add_many([usage(1)], [Companion(id="pm_1", spends=spends)])
    seen = await office.ask("GET", path, token=admin)
    assert seen.json["spending"] == [
        {
            "holder": "red",
            "spent_usd": 1.0,
            "spent_tokens": 3,
            "held_usd": 0.0,
            "held_tokens": 0,
            "left_usd": 4.0,
            "left_tokens": None,
        }
    ]
    change = {"limit_usd": None, "limit_tokens": 2, "mode": "soft"}
    assert (await office.ask("PATCH", path, change, token=admin, match='"0"')).status == 412
    changed = await office.ask("PATCH", path, change, token=admin, match=seen.etag)
    assert changed.status == 200
    assert (changed.json["limit_tokens"], changed.json["mode"]) == (2, "soft")

    for empty in ({}, {"mode": None}, {"limit_tokens": None}, {"limit_tokens": -1}):
        assert (await office.ask("PATCH", path, empty, token=admin)).status == 400, empty

    wrong: list[dict[str, object]] = [
        {"scope": "global", "name": "x", "period": "day", "limit_usd": 1.0},
        {"scope": "team", "period": "day", "limit_usd": 1.0},
        {"scope": "team", "name": "x", "period": "year", "limit_usd": 1.0},
        {"scope": "team", "name": "x", "period": "day"},
        {"scope": "team", "name": "x", "period": "day", "limit_usd": -1.0},
    ]

    for bad in wrong:
        assert (await office.ask("POST", "/budgets", bad, token=admin)).status == 400, bad

    assert (await office.ask("DELETE", path, token=admin)).status == 204
    gone = await office.ask("GET", path, token=admin)
    assert (gone.status, gone.code) == (404, "core.budget.not_found")


async def test_a_budget_one_may_not_know_of_is_absent(office: Office) -> None:
    """The same bytes; one's own is seen and not changed without the permission."""
    store = office.core.store.budgets
    own = await store.create(
        BudgetRow(scope="team", name="red", period="day", limit_tokens=1, is_hard=False)
    )
    other = await store.create(BudgetRow(scope="global", period="day", limit_usd=9.0))
    red = await office.give(teams=("red",))
    seen = await office.ask("GET", "/budgets", token=red)
    assert [row["id"] for row in seen.json["items"]] == [own.id]
    assert (await office.ask("GET", f"/budgets/{own.id}", token=red)).status == 200
    refused = await office.ask("PATCH", f"/budgets/{own.id}", {"limit_tokens": 5}, token=red)
    assert refused.status == 403

    for method in ("GET", "PATCH", "DELETE"):
        body = {"limit_usd": 1.0} if method == "PATCH" else None
        hidden = await office.ask(method, f"/budgets/{other.id}", body, token=red)
        absent = await office.ask(method, f"/budgets/{'0' * 32}", body, token=red)
        assert hidden.status == absent.status == 404
        assert masked(hidden, other.id) == masked(absent, "0" * 32)

    assert (await office.ask("POST", "/budgets", {}, token=red)).status == 403


def masked(reply: Reply, identity: str) -> str:
    text = reply.body.decode().replace(identity, "X")
    return text.replace(reply.json["error"]["traceId"], "T")


async def test_limits_are_made_changed_and_removed(office: Office) -> None:
    """And are in force at once."""
    admin = await office.admin()
    body = {"scope": "user", "name": "A@x", "requests_per_minute": 5}
    made = await office.ask("POST", "/limits", body, token=admin)
    assert (made.status, made.json["name"]) == (201, "a@x")
    assert office.core.allowance.is_active
    assert (await office.ask("POST", "/limits", body, token=admin)).code == "core.limit.exists"
    path = f"/limits/{made.json['id']}"
    assert (await office.ask("GET", path, token=admin)).json == made.json
    change = {"requests_per_minute": None, "tokens_per_minute": 7}
    changed = await office.ask("PATCH", path, change, token=admin, match=made.etag)
    assert changed.json["tokens_per_minute"] == 7
    assert (await office.ask("PATCH", path, change, token=admin, match=made.etag)).status == 412
    found = await office.ask("GET", "/limits?scope=user", token=admin)
    assert len(found.json["items"]) == 1

    for bad in ({"scope": "role", "name": "*"}, {"scope": "user", "name": ""}):
        assert (await office.ask("POST", "/limits", bad, token=admin)).status == 400, bad

    assert (await office.ask("PATCH", path, {"tokens_per_minute": 0}, token=admin)).status == 400
    assert (await office.ask("DELETE", path, token=admin)).status == 204
    assert (await office.ask("DELETE", path, token=admin)).status == 404


async def test_two_changes_of_one_state_do_not_both_count(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is told, also when both read the same state first."""
    admin = await office.admin()
    store = office.core.store
    budget = await store.budgets.create(BudgetRow(scope="global", period="day", limit_usd=1.0))
    body = {"scope": "team", "name": "t", "requests_per_minute": 5}
    limit = (await office.ask("POST", "/limits", body, token=admin)).json["id"]

    async def overtaken(row: object) -> None:
        del row

    monkeypatch.setattr(store.budgets, "change", overtaken)
    monkeypatch.setattr(store.rate_limits, "change", overtaken)
    one = await office.ask("PATCH", f"/budgets/{budget.id}", {"limit_usd": 2.0}, token=admin)
    two = await office.ask("PATCH", f"/limits/{limit}", {"tokens_per_minute": 2}, token=admin)
    assert one.status == two.status == 412
    assert await store.budgets.change(replace(budget, epoch=-1)) is None
