"""Retention: what is too old or too much goes, in batches, and nothing else."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import structlog

from spindle.administrator import local_context
from spindle.audit import Audit, AuditEntry
from spindle.config.retention import RetentionSettings
from spindle.retention import DELETED, Janitor, Rule, core_rules, days
from spindle.store.audit import AuditFilter
from spindle.store.rows import InvitationRow, UserRow
from spindle.store.tables import AUDIT, BUDGET_SPEND, EVENTS, LOGIN_SESSIONS
from spindle_spi.session_event import Session
from tests.core.store.opened import opened, usage

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from spindle.store import Store

DAY = 86_400.0
NOTHING = {"sessions": 0, "login_sessions": 0, "invitations": 0, "budget_spend": 0}
"""Swept whatever the configuration keeps for good."""


async def fill(store: Store, *ages: float) -> None:
    """Add audit entries so many days old."""
    audit = Audit(store)
    row = audit.row(local_context(), AuditEntry(action="a.b", target="t"))
    now = time.time()
    await store.audit.add(
        [replace(row, id=f"{n:04}", at=now - age * DAY) for n, age in enumerate(ages)]
    )


async def left(store: Store) -> list[str]:
    rows = await store.audit.page(AuditFilter(), limit=1000)
    return sorted(row.id for row in rows)


async def test_what_is_older_than_its_age_goes(tmp_path: Path) -> None:
    """Of audit, usage and ended sessions, with their events; counted, and no day too early."""
    counted: dict[str, float] = {}

    def count(name: str, value: float, labels: dict[str, str]) -> None:
        assert name == DELETED
        counted[labels["table"]] = value

    async with opened(tmp_path) as store:
        settings = RetentionSettings(audit_days=10, usage_days=20)
        janitor = Janitor(store.database, settings, count=count)
        janitor.add(*core_rules(settings))
        await fill(store, 11, 9.9, 10.1, 0)
        now = time.time()
        await store.usage.add_many(
            [replace(usage(1), at=now - 21 * DAY), replace(usage(2), at=now - 19 * DAY)]
        )

        for name, until in (("live", now + 100), ("old", now + 0.01)):
            session = Session(id=name, kind="k", owner="o", created_at=now, expires_at=until)
            await store.sessions.create(session, ttl=until - now)
            await store.sessions.append(name, "e", {})

        await anyio.sleep(0.03)
        gone = await janitor.sweep()
        assert counted == {"audit": 2, "usage": 1, "sessions": 1}
        assert gone == {**NOTHING, **counted}
        assert await left(store) == ["0001", "0003"]
        assert await store.usage.count() == 1

        async with store.database.reading() as connection:
            events = (await connection.execute(EVENTS.select())).mappings().all()

        assert [event["session_id"] for event in events] == ["live"]
        assert await janitor.sweep() == {**NOTHING, "audit": 0, "usage": 0}


async def test_what_is_long_over_goes(tmp_path: Path) -> None:
    """Logins and invitations a month after their end, spending two after its period began."""
    now = int(time.time())

    async with opened(tmp_path) as store:
        await store.users.create(UserRow(email="ada@example.org"))
        await store.teams.create("red", "")
        spend = {
            "budget_id": "b",
            "process": "p",
            "spent_nano": 1,
            "spent_tokens": 1,
            "leased_nano": 0,
            "leased_tokens": 0,
            "expires_at": 0.0,
        }

        async with store.database.writing() as connection:
            for name, days_ago in (("live", -1), ("over", 29), ("long over", 31)):
                login = {
                    "id": name,
                    "hash": name,
                    "user_email": "ada@example.org",
                    "created_at": 0.0,
                    "seen_at": 0.0,
                    "expires_at": now - days_ago * DAY,
                }
                await connection.execute(LOGIN_SESSIONS.insert().values(login))

            for holder, start in (("now", now), ("old", int(now - 63 * DAY)), ("endless", 0)):
                row = {**spend, "holder": holder, "period_start": start}
                await connection.execute(BUDGET_SPEND.insert().values(row))

        for name, ended in (("open", now + DAY), ("over", now - 29 * DAY), ("old", now - 31 * DAY)):
            invitation = InvitationRow(
                id=name,
                hash=name,
                team="red",
                role="viewer",
                created_by="ada@example.org",
                created_at=0.0,
                expires_at=ended,
            )
            await store.invitations.create(invitation)

        gone = await Janitor(store.database).sweep(core_rules(RetentionSettings()))
        assert gone["login_sessions"] == gone["invitations"] == gone["budget_spend"] == 1
        assert sorted(row.id for row in await store.invitations.all()) == ["open", "over"]

        async with store.database.reading() as connection:
            logins = {row.id for row in await connection.execute(LOGIN_SESSIONS.select())}
            holders = {row.holder for row in await connection.execute(BUDGET_SPEND.select())}

        assert logins == {"live", "over"}
        assert holders == {"now", "endless"}


async def test_more_rows_than_may_stay_go_the_oldest_first(tmp_path: Path) -> None:
    """Whichever bound is the stricter one holds; without any nothing goes."""
    async with opened(tmp_path) as store:
        await fill(store, 5, 4, 3, 2, 1)
        janitor = Janitor(store.database)
        assert await janitor.sweep([Rule(table=AUDIT, column="at")]) == {}
        await janitor.sweep([Rule(table=AUDIT, column="at", max_age=days(4), max_rows=2)])
        assert await left(store) == ["0003", "0004"]
        await janitor.sweep([Rule(table=AUDIT, column="at", max_age=1.5 * DAY, max_rows=2)])
        assert await left(store) == ["0004"]


async def test_nothing_goes_when_everything_is_kept_for_good(tmp_path: Path) -> None:
    """A zero is no bound."""
    settings = RetentionSettings(audit_days=0, audit_rows=0, usage_days=0)

    async with opened(tmp_path) as store:
        await fill(store, 5000)
        assert await Janitor(store.database).sweep(core_rules(settings)) == NOTHING
        assert await left(store) == ["0000"]


async def test_a_sweep_leaves_turns_to_the_writers(tmp_path: Path) -> None:
    """It deletes in small transactions: a writer who comes in the middle does not wait for it."""
    async with opened(tmp_path) as store:
        await fill(store, *([100] * 60))
        janitor = Janitor(store.database, RetentionSettings(batch_rows=5))
        seen: list[int] = []
        done = anyio.Event()

        async def sweep() -> None:
            await janitor.sweep([Rule(table=AUDIT, column="at", max_age=DAY)])
            done.set()

        async with anyio.create_task_group() as group:
            group.start_soon(sweep)

            while not done.is_set():
                await store.usage.add_many([usage(len(seen))])
                seen.append(await store.audit.count())
                await anyio.sleep(0.005)

        assert len({number for number in seen if 0 < number < 60}) >= 5
        assert await store.usage.count() == len(seen)


async def test_a_janitor_sweeps_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is away is no end of it."""
    tries, swept = 0, anyio.Event()
    real = Janitor.sweep

    async def sometimes(janitor: Janitor) -> dict[str, int]:
        nonlocal tries
        tries += 1

        if tries == 1:
            raise OSError

        gone = await real(janitor)
        swept.set()
        return gone

    async with opened(tmp_path) as store:
        await fill(store, 5)
        janitor = Janitor(store.database, RetentionSettings(every_seconds=0.001))
        janitor.add(Rule(table=AUDIT, column="at", max_age=DAY))
        monkeypatch.setattr(Janitor, "sweep", sometimes)

        with structlog.testing.capture_logs() as logs:
            async with anyio.create_task_group() as group:
                group.start_soon(janitor.run)

                with anyio.fail_after(5):
                    await swept.wait()

                group.cancel_scope.cancel()

        assert await left(store) == []
        assert [entry["log_level"] for entry in logs][:2] == ["error", "info"]
