"""Budgets: reserved when a call begins, settled when it ends, shared among processes."""

from __future__ import annotations

import random
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spindle.accounting import estimate_of, spent_of, team_of, terms_of, worst_case
from spindle.budgets import Budgets
from spindle.config.budgets import BudgetSettings
from spindle.ledger import Ledger
from spindle.periods import period_of
from spindle.store import Store
from spindle.store.budgets import BudgetRow
from spindle.store.rows import Companion
from spindle.store.spending import Pair
from spindle_spi.admission import Estimate, Outcome, Status, TokenUsage
from spindle_spi.context import Subject
from spindle_spi.errors import FailedPrecondition, RateLimited, Unavailable
from spindle_spi.policy import Action
from spindle_spi.records import CatalogRecord, Kind, ModelSpec, Target
from tests.core.heart import Heart, open_heart
from tests.core.store.opened import usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle.budgets import Charge
    from spindle_spi.context import AuthenticatedContext

SETTINGS = BudgetSettings(lease_seconds=30.0)
CALLER = Subject(token_id="tok", user_email="A@x", token_teams=("red",))
OPEN = Target(kind=Kind.MODEL, name="up~open")


def model(name: str = "m", /, **changes: object) -> CatalogRecord:
    given_: dict[str, object] = {
        "provider": "p",
        "upstream_name": name,
        "input_price": 1.0,
        "output_price": 2.0,
        **changes,
    }
    spec = ModelSpec(**given_)  # type: ignore[arg-type]
    return CatalogRecord(id=name, kind=Kind.MODEL, name=name, spec=spec)


def budget(**changes: object) -> BudgetRow:
    given_: dict[str, object] = {"scope": "global", "period": "total", **changes}
    return BudgetRow(**given_)  # type: ignore[arg-type]


class Desk:
    """What spends budgets in one process: budgets and ledger over a store of their own."""

    def __init__(self, store: Store, settings: BudgetSettings = SETTINGS) -> None:
        self.store = store
        self.budgets = Budgets(store, settings)
        self.ledger = Ledger(store, flush_seconds=60, max_pending=100_000)
        self.ledger.on_spent = self.budgets.written
        self._number = 0

    async def learn(self) -> None:
        (await self.budgets.read())()

    async def begin(self, tokens: int, subject: Subject = CALLER) -> Charge | None:
        """Reserve a call of so many tokens; None when it is refused."""
        estimate = Estimate(input_bytes=0, max_output_tokens=tokens)
        charge = self.budgets.charge(subject, "red", [model()], estimate)
        assert charge is not None

        try:
            while await self.budgets.prepare(charge):
                pass
        except RateLimited:
            return None

        self.budgets.check(charge)
        self.budgets.reserve(charge)
        return charge

    async def end(self, charge: Charge, tokens: int) -> None:
        self._number += 1
        cost = tokens * 2.0 / 1_000_000
        spent = spent_of(cost, TokenUsage(output_tokens=tokens))
        spends = self.budgets.settle(charge, spent)
        row = replace(usage(0), id=f"{self.store.budgets.process}_{self._number}")
        await self.ledger.add(row, Companion(id=row.id, spends=spends))


@asynccontextmanager
async def desks(url: str, count: int, *rows: BudgetRow) -> AsyncGenerator[list[Desk]]:
    opened = [Desk(await Store.open(url)) for _ in range(count)]

    try:
        for row in rows:
            await opened[0].store.budgets.create(row)

        for desk in opened:
            await desk.learn()

        yield opened
    finally:
        for desk in opened:
            await desk.store.close()


async def spent(store: Store) -> Pair:
    rows = await store.budgets.all()
    totals = await store.budgets.totals({row.id: 0 for row in rows})
    return totals[0].spent if totals else Pair()


async def test_what_is_reserved_is_not_there_for_others(database_url: str) -> None:
    """And what a call did not use is there again."""
    async with desks(database_url, 1, budget(limit_tokens=100)) as (desk,):
        one = await desk.begin(60)
        assert one is not None
        assert await desk.begin(60) is None
        await desk.end(one, 10)
        one.accounts[0].change(one.accounts[0].row)  # a refusal is remembered for a moment
        two = await desk.begin(90)
        assert two is not None
        await desk.end(two, 90)
        await desk.ledger.flush()
        assert (await spent(desk.store)).tokens == 100


async def test_a_call_may_use_more_than_was_reserved_and_that_is_owed(database_url: str) -> None:
    """The overspending is that of calls in flight; nothing follows until it is made up for."""
    async with desks(database_url, 2, budget(limit_tokens=100)) as (one, two):
        charge = await one.begin(50)
        assert charge is not None
        await one.end(charge, 120)
        assert await one.begin(1) is None
        await one.ledger.flush()
        assert await two.begin(1) is None
        assert (await spent(one.store)).tokens == 120


async def run_calls(desk: Desk, seed: int, calls: int, most: int) -> tuple[int, int]:
    """Run calls side by side; return what they spent and what they spent beyond reserved."""
    choice = random.Random(seed)
    sizes = [(choice.randint(1, most), choice.choice((0.0, 0.3, 1.0, 1.5))) for _ in range(calls)]
    total = beyond = 0

    async def call(reserved: int, part: float) -> None:
        nonlocal total, beyond
        charge = await desk.begin(reserved)

        if charge is None:
            return

        for _ in range(choice.randint(0, 3)):
            await anyio.lowlevel.checkpoint()

        used = int(reserved * part)
        await desk.end(charge, used)
        total += used
        beyond += max(0, used - reserved)

        if choice.random() < 0.2:
            await desk.ledger.flush()

    async with anyio.create_task_group() as group:
        for reserved, part in sizes:
            group.start_soon(call, reserved, part)

    await desk.ledger.flush()
    return total, beyond


@pytest.mark.parametrize("seed", range(4))
async def test_two_processes_never_overspend_beyond_the_bound(database_url: str, seed: int) -> None:
    """All spent ≤ limit + Σ max(0, actual - reserved), however calls interleave; all written."""
    limit = 500
    async with desks(database_url, 2, budget(limit_tokens=limit)) as pair:
        found: list[tuple[int, int]] = []

        async def work(desk: Desk, number: int) -> None:
            found.append(await run_calls(desk, seed * 10 + number, 30, 150))

        async with anyio.create_task_group() as group:
            for number, desk in enumerate(pair):
                group.start_soon(work, desk, number)

        total = sum(entry[0] for entry in found)
        assert total <= limit + sum(entry[1] for entry in found)
        assert total > limit / 3
        assert (await spent(pair[0].store)).tokens == total


SCRIPT = """
import anyio, sys
from spindle.store import Store
from tests.core.test_budgets import Desk, run_calls

async def main():
    desk = Desk(await Store.open(sys.argv[1]))
    await desk.learn()
    print(*await run_calls(desk, int(sys.argv[2]), 60, 150))
    await desk.store.close()

anyio.run(main)
"""


async def test_two_operating_system_processes_keep_to_one_budget(database_url: str) -> None:
    """The same, with nothing in common but the database."""
    limit = 3000
    results: list[tuple[int, int]] = []

    async with desks(database_url, 1, budget(limit_tokens=limit)) as (desk,):

        async def work(seed: int) -> None:
            ran = await anyio.run_process([sys.executable, "-c", SCRIPT, database_url, str(seed)])
            total, beyond = ran.stdout.split()
            results.append((int(total), int(beyond)))

        async with anyio.create_task_group() as group:
            group.start_soon(work, 1)
            group.start_soon(work, 2)

        total = sum(entry[0] for entry in results)
        assert total <= limit + sum(entry[1] for entry in results)
        assert (await spent(desk.store)).tokens == total


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('budgets')}/spindle.db"


@settings(max_examples=25)
@given(
    limit=st.integers(0, 400),
    steps=st.lists(
        st.tuples(
            st.integers(0, 1),
            st.integers(1, 120),
            st.integers(0, 150),
            st.sampled_from(["end", "keep", "flush", "renew", "crash"]),
        ),
        max_size=25,
    ),
)
def test_no_sequence_of_calls_overspends(
    shared: str, limit: int, steps: list[tuple[int, int, int, str]]
) -> None:
    """Reserving, ending, flushing, renewing, and a process that begins anew with its slice lost."""

    async def run() -> None:
        async with desks(shared, 2) as pair:
            for row in await pair[0].store.budgets.all():
                await pair[0].store.budgets.delete(row.id)

            await pair[0].store.budgets.create(budget(limit_tokens=limit))

            for desk in pair:
                await desk.learn()

            play = Play(pair)

            for step in steps:
                await play.step(*step)

            await play.finish()
            assert play.total <= limit + play.beyond
            assert (await spent(pair[0].store)).tokens == play.total

    anyio.run(run)


class Play:
    """Two processes, their open calls, and what those that ended spent."""

    def __init__(self, pair: list[Desk]) -> None:
        self.pair = pair
        self.total = 0
        self.beyond = 0
        self.held: list[tuple[Desk, Charge, int, int]] = []

    async def step(self, which: int, reserved: int, used: int, then: str) -> None:
        desk = self.pair[which]
        charge = await desk.begin(reserved)

        if charge is not None:
            self.held.append((desk, charge, reserved, used))

        if then == "end" and self.held:
            await self.end()
        elif then == "flush":
            await desk.ledger.flush()
        elif then == "renew":
            await desk.budgets.renew()
        elif then == "crash" and not any(held[0] is desk for held in self.held):
            await desk.ledger.flush()
            desk.store.budgets.process = uuid4().hex
            self.pair[which] = Desk(desk.store)
            await self.pair[which].learn()

    async def end(self) -> None:
        desk, charge, reserved, used = self.held.pop()
        await desk.end(charge, used)
        self.total += used
        self.beyond += max(0, used - reserved)

    async def finish(self) -> None:
        while self.held:
            await self.end()

        for desk in self.pair:
            await desk.ledger.flush()


async def test_a_slice_of_a_process_that_died_comes_back(tmp_path: Path) -> None:
    """After its time, and with what was spent of it; the row is folded into one."""
    url = f"sqlite+aiosqlite:///{tmp_path}/spindle.db"

    async with desks(url, 2, budget(limit_tokens=80)) as (dead, alive):
        dead.budgets = Budgets(
            dead.store,
            BudgetSettings.model_construct(
                unpriced="deny", default_output_tokens=1, tokens_per_image=1, lease_seconds=0.2
            ),
        )
        dead.ledger.on_spent = dead.budgets.written
        await dead.learn()
        charge = await dead.begin(10)
        assert charge is not None
        await dead.end(charge, 10)
        await dead.ledger.flush()
        assert await dead.begin(40) is not None
        assert await alive.begin(60) is None
        await anyio.sleep(0.25)
        fresh = Budgets(alive.store, SETTINGS)
        alive.budgets = fresh
        await alive.learn()
        assert await alive.begin(70) is not None
        # The one that was only slow finds that its slice is gone.
        assert await dead.begin(1) is None
        await dead.budgets.renew()
        assert (await spent(alive.store)).tokens == 10


async def test_slices_are_given_back(tmp_path: Path) -> None:
    """When they were of no use lately, and at a stop."""
    url = f"sqlite+aiosqlite:///{tmp_path}/spindle.db"

    async with desks(url, 2, budget(limit_usd=1.0)) as (one, two):
        charge = await one.begin(10)
        assert charge is not None
        await one.end(charge, 10)
        totals = await one.store.budgets.totals({charge.accounts[0].key.budget_id: 0})
        assert totals[0].held.nano > 100_000_000
        await one.budgets.renew()
        await one.budgets.renew()
        await one.ledger.flush()
        totals = await one.store.budgets.totals({charge.accounts[0].key.budget_id: 0})
        assert totals[0].held.nano == 0
        assert totals[0].spent.nano == 20_000
        assert await two.begin(10) is not None
        await two.budgets.close()
        await one.budgets.close()


async def test_a_refusal_names_the_budget_and_costs_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty budget that is hammered is asked about once a second."""
    url = f"sqlite+aiosqlite:///{tmp_path}/spindle.db"
    row = budget(scope="team", name="red", period="day", limit_usd=0.0, limit_tokens=10)

    async with desks(url, 1, row) as (desk,):
        charge = desk.budgets.charge(CALLER, "red", [model()], Estimate(max_output_tokens=5))
        assert charge is not None

        with pytest.raises(RateLimited, match="The team's daily budget is used up") as caught:
            await desk.budgets.prepare(charge)

        assert caught.value.code == "budget_exceeded"
        assert not caught.value.retryable
        assert caught.value.retry_after is not None
        assert "$0.000010 and 5 tokens" in caught.value.message

        async def lease(*arguments: object, **named: object) -> None:
            raise AssertionError

        monkeypatch.setattr(desk.store.budgets, "lease", lease)

        with pytest.raises(RateLimited):
            await desk.budgets.prepare(charge)

        with pytest.raises(RateLimited):
            desk.budgets.check(charge)


async def test_soft_budgets_refuse_nothing_and_say_so_once(tmp_path: Path) -> None:
    """What is spent of them is known all the same."""
    url = f"sqlite+aiosqlite:///{tmp_path}/spindle.db"

    async with desks(url, 1, budget(scope="user", name="*", limit_tokens=5, is_hard=False)) as (
        desk,
    ):
        charge = await desk.begin(10)
        assert charge is not None
        await desk.end(charge, 10)

        for _ in range(2):
            more = await desk.begin(10)
            assert more is not None
            await desk.end(more, 10)

        assert charge.accounts[0].is_reported
        assert charge.accounts[0].key.holder == "a@x"
        await desk.ledger.flush()
        await desk.budgets.renew()
        assert charge.accounts[0].spent.tokens == 30
        assert desk.budgets.reserved(charge.accounts[0].key) == Pair()


async def test_a_new_period_is_a_new_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call is charged to the period it began in; accounts of past ones are forgotten."""
    url = f"sqlite+aiosqlite:///{tmp_path}/spindle.db"
    now = [datetime(2030, 1, 31, 23, 59, 59, tzinfo=UTC).timestamp()]
    monkeypatch.setattr("spindle.budgets.time.time", lambda: now[0])

    async with desks(url, 1, budget(period="month", limit_tokens=10)) as (desk,):
        old = await desk.begin(10)
        assert old is not None
        assert await desk.begin(10) is None
        now[0] += 2
        new = await desk.begin(10)
        assert new is not None
        assert new.accounts[0].key.period_start - old.accounts[0].key.period_start == 31 * 86_400
        await desk.end(old, 10)
        await desk.ledger.flush()
        await desk.budgets.renew()
        assert desk.budgets.known() == new.accounts


def test_periods_are_of_the_calendar_in_utc() -> None:
    """Weeks begin on Monday; the total has no end."""
    now = datetime(2026, 12, 31, 13, tzinfo=UTC).timestamp()
    found = {
        name: [
            None if at is None else datetime.fromtimestamp(at, UTC).date().isoformat()
            for at in period_of(name, now)
        ]
        for name in ("day", "week", "month", "total")
    }
    assert found == {
        "day": ["2026-12-31", "2027-01-01"],
        "week": ["2026-12-28", "2027-01-04"],
        "month": ["2026-12-01", "2027-01-01"],
        "total": ["1970-01-01", None],
    }


@pytest.mark.parametrize(
    ("changes", "estimate", "tokens", "nano"),
    [
        ({}, Estimate(input_bytes=100, max_output_tokens=10, choices=3), 130, 160_000),
        ({"max_output_tokens": 7}, Estimate(max_output_tokens=10), 7, 14_000),
        ({"max_output_tokens": 7}, None, 7, 14_000),
        ({"context_window": 9}, Estimate(), 9, 18_000),
        ({"defaults": {"max_tokens": 5}}, Estimate(), 5, 10_000),
        ({"defaults": {"max_tokens": True}}, Estimate(images=1), 4096 + 2000, 10_192_000),
        ({"input_price": None}, Estimate(input_bytes=5, max_output_tokens=1), 6, 2000),
    ],
)
def test_the_worst_case_of_a_call(
    changes: dict[str, object], estimate: Estimate | None, tokens: int, nano: int
) -> None:
    """Bytes of input, the longest answer, each choice, images; at the dearest model."""
    cheap = model("cheap", max_output_tokens=1, input_price=0.0, output_price=0.0)
    assert worst_case(terms_of([cheap, model("m", **changes)]), estimate, SETTINGS) == Pair(
        nano, tokens
    )


def test_a_call_is_charged_to_one_team() -> None:
    """Of several, to the record's; else to the first."""
    record = replace(model(), team="b")
    assert team_of(Subject(token_teams=("a", "b")), record) == "b"
    assert team_of(Subject(token_teams=("a", "c")), record) == "a"
    assert team_of(Subject(token_teams=("a",)), record) == "a"
    assert team_of(Subject(token_teams=None), record) is None


def test_arguments_say_what_a_call_may_cost() -> None:
    """What is no number counts as not said."""
    found = estimate_of({"max_tokens": 5, "max_completion_tokens": 9, "n": 2}, 10)
    assert found == Estimate(input_bytes=10, max_output_tokens=9, choices=2)
    assert estimate_of({"max_tokens": "x", "n": -1}, 1) == Estimate(input_bytes=1)


async def admitted(heart: Heart, who: AuthenticatedContext, estimate: Estimate) -> str:
    catalog = heart.core.services_for("llm").catalog
    permit = await catalog.admit(who, OPEN, Action.EXECUTE, estimate)
    return permit.id


async def test_a_budget_bounds_calls_through_the_core(tmp_path: Path) -> None:
    """Admitted, settled, written with the usage row, refused with a stable code."""
    async with open_heart(tmp_path) as heart:
        core, red = heart.core, await heart.caller("red", user_email="a@example.org")
        row = await core.store.budgets.create(budget(limit_usd=0.01))
        await core.snapshots.refresh()
        first = await admitted(heart, red, Estimate(max_output_tokens=4000))
        usage_ = TokenUsage(output_tokens=4000)
        outcome = Outcome(status=Status.OK, usage=usage_)
        await core.services_for("llm").catalog.settle(first, outcome)

        with pytest.raises(RateLimited, match="The gateway's budget is used up"):
            await admitted(heart, red, Estimate(max_output_tokens=4000))

        await core.ledger.flush()
        totals = await core.store.budgets.totals({row.id: 0})
        assert totals[0].spent == Pair(8_000_000, 4000)


async def test_models_without_a_price_are_refused_under_a_budget_in_money(tmp_path: Path) -> None:
    """As alternatives they are left out; allowed, they are free."""
    async with open_heart(tmp_path) as heart:
        core, red = heart.core, await heart.caller("red")
        await core.store.budgets.create(budget(limit_usd=1.0))
        await core.snapshots.refresh()
        catalog = core.services_for("llm").catalog
        permit = await catalog.admit(red, OPEN, Action.EXECUTE, Estimate(max_output_tokens=1))
        assert permit.alternatives == permit.alternative_backends == ()

        with pytest.raises(FailedPrecondition, match="input_price"):
            await catalog.admit(red, Target(kind=Kind.MODEL, name="up~red"), Action.EXECUTE)

    async with open_heart(tmp_path, "\nbudgets: {unpriced: allow}\n") as heart:
        core, red = heart.core, await heart.caller("red")
        catalog = core.services_for("llm").catalog
        permit = await catalog.admit(red, Target(kind=Kind.MODEL, name="up~red"), Action.EXECUTE)
        assert (await catalog.admit(red, OPEN, Action.EXECUTE)).record.name == "up~open"


async def test_without_the_database_no_slice_is_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is leased already may be spent; for more the answer is 503."""
    async with open_heart(tmp_path) as heart:
        core, red = heart.core, await heart.caller("red")
        await core.store.budgets.create(budget(limit_tokens=1000))
        await core.snapshots.refresh()
        await admitted(heart, red, Estimate(max_output_tokens=10))

        async def away(*arguments: object, **named: object) -> None:
            raise Unavailable("away")

        monkeypatch.setattr(core.store.budgets, "lease", away)
        await admitted(heart, red, Estimate(max_output_tokens=10))

        with pytest.raises(Unavailable):
            await admitted(heart, red, Estimate(max_output_tokens=900))

        monkeypatch.setattr(core.store.budgets, "renew", away)
        await core.allowance.close()


async def test_a_row_that_may_be_written_already_spends_once(tmp_path: Path) -> None:
    """The commit may have come through when the answer to it did not."""
    url = f"sqlite+aiosqlite:///{tmp_path}/spindle.db"

    async with desks(url, 1, budget(limit_tokens=100)) as (desk,):
        charge = await desk.begin(10)
        assert charge is not None
        add_many = desk.store.usage.add_many

        async def torn(*arguments: object, **named: object) -> None:
            await add_many(*arguments, **named)  # type: ignore[arg-type]
            raise OSError("the line is cut")

        desk.store.usage.add_many = torn  # type: ignore[method-assign]
        await desk.end(charge, 10)
        await desk.ledger.try_flush()
        desk.store.usage.add_many = add_many  # type: ignore[method-assign]
        await desk.ledger.flush()
        assert (await spent(desk.store)).tokens == 10
        assert desk.ledger.pending() == 0
