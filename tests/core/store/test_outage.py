"""The database goes away and comes back: calls go on, writes are refused, nothing is lost."""

from __future__ import annotations

import sqlite3
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from spindle.store import StoreUnavailable
from spindle.store.notify import Notifications
from spindle.store.outage import Outage, StoreRefused, is_away
from spindle_spi.admission import Outcome, Status
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.core.heart import Heart, open_heart
from tests.core.store.opened import opened, provider, token
from tests.support.databases import execute, postgresql_url
from tests.support.services import POSTGRESQL, needs_postgresql
from tests.support.tcp_proxy import TcpProxy, proxied

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

MODEL = Target(kind=Kind.MODEL, name="up~open")


@asynccontextmanager
async def running(home: Path, url: str = "") -> AsyncGenerator[Heart]:
    """Run a core that looks at its store often."""
    store = f"\nstore: {{revision_poll_seconds: 0.05{url and f', url: {url!r}'}}}\n"

    async with open_heart(home, store) as heart, anyio.create_task_group() as group:
        group.start_soon(heart.core.run)
        yield heart


@asynccontextmanager
async def far_running(home: Path) -> AsyncGenerator[tuple[Heart, TcpProxy]]:
    """Run a core on PostgreSQL behind a proxy."""
    async with proxied(POSTGRESQL) as proxy:
        url = postgresql_url(address=proxy.address)

        async with running(home, url) as heart:
            yield heart, proxy
            proxy.mend()
            await heart.core.close()


async def wait_until_available(heart: Heart, wanted: bool) -> None:
    with anyio.fail_after(15):
        while heart.core.is_store_available is not wanted:
            await anyio.sleep(0.02)


@needs_postgresql
@pytest.mark.usefixtures("postgresql_database")
async def test_calls_go_on_without_the_database_and_nothing_is_lost(tmp_path: Path) -> None:
    """Decided from memory; usage waits; a write is refused and leaves nothing; then all is well."""
    async with far_running(tmp_path) as (heart, proxy):
        core = heart.core
        caller = await heart.caller("red")
        await proxy.cut()
        await wait_until_available(heart, wanted=False)

        for _ in range(5):
            permit = core.admission.admit(caller, MODEL, Action.EXECUTE)
            await core.admission.settle(permit.id, Outcome(status=Status.OK, total_ms=1.0))

        for number in range(3):
            begun = time.monotonic()

            with pytest.raises(StoreUnavailable) as caught:
                await core.store.tokens.create(token(str(number)))

            assert (caught.value.http_status, caught.value.retry_after) == (503, 1.0)
            assert time.monotonic() - begun < 2.0

        with pytest.raises(StoreUnavailable):
            await core.ledger.flush()

        assert core.ledger.pending() == 5
        proxy.mend()
        await wait_until_available(heart, wanted=True)

        with anyio.fail_after(10):
            while core.ledger.pending() or not core.store.is_available:
                await anyio.sleep(0.05)

        assert await core.store.usage.count() == 5
        assert [row for row in await core.store.tokens.all() if row.name in "012"] == []
        await core.store.tokens.create(token("after"))


@needs_postgresql
@pytest.mark.usefixtures("postgresql_database")
async def test_a_database_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection stands and nothing comes: the wait has an end, though it is shielded."""
    monkeypatch.setattr("spindle.store.database._STATEMENT_SECONDS", 0.3)
    monkeypatch.setattr("spindle.store.database._CONNECT_SECONDS", 0.3)

    async with far_running(tmp_path) as (heart, proxy):
        proxy.is_deaf = True

        with anyio.fail_after(15), pytest.raises(StoreUnavailable):
            await heart.core.store.tokens.create(token("a"))

        await proxy.cut()
        proxy.mend()

        with anyio.fail_after(15):
            while not await is_written(heart):
                await anyio.sleep(0.05)


async def is_written(heart: Heart) -> bool:
    try:
        await heart.core.store.tokens.create(token("b"))
    except StoreUnavailable:
        return False

    return True


async def test_a_lock_that_is_held_refuses_writers_and_no_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite: the first waits for it, those behind it are told at once; then all is well."""
    monkeypatch.setattr("spindle.store.database._PRAGMAS", ("PRAGMA busy_timeout = 300",))

    async with opened(tmp_path) as store:
        blocker = sqlite3.connect(tmp_path / "spindle.db", isolation_level=None)
        blocker.execute("PRAGMA journal_mode = WAL")
        blocker.execute("BEGIN IMMEDIATE")
        refused: list[float] = []

        async def write(number: int) -> None:
            with pytest.raises(StoreUnavailable):
                await store.tokens.create(token(str(number)))

            refused.append(time.monotonic())

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(write, number)

        assert refused[-1] - refused[0] < 0.3
        assert store.database.is_available is False
        assert await store.tokens.all() == ()
        blocker.execute("COMMIT")
        blocker.close()

        # For a second nobody tries again.
        monkeypatch.setattr("spindle.store.outage.RETRY_SECONDS", 0.0)
        await store.catalog.upsert(provider("a"))
        assert store.is_available
        assert await store.tokens.all() == ()


@needs_postgresql
async def test_a_change_is_heard_and_a_lost_connection_is_made_again(
    postgresql_database: str,
) -> None:
    """Woken by a commit; after the connection was ended, woken again."""
    async with opened(postgresql_database) as store:
        woken = 0

        def wake() -> None:
            nonlocal woken
            woken += 1

        async def heard(number: int) -> None:
            with anyio.fail_after(10):
                while woken < number:
                    await anyio.sleep(0.01)

        listener = Notifications(store.database.url, wake)

        async with anyio.create_task_group() as group:
            group.start_soon(listener.run)
            await heard(1)
            await store.tokens.create(token("a"))
            await heard(2)
            await execute(
                str(store.database.url.database),
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'spindle listener' AND datname = current_database()",
            )
            await heard(3)
            await store.tokens.create(token("b"))
            await heard(4)
            assert listener.is_listening
            group.cancel_scope.cancel()


async def test_a_stream_of_a_token_revoked_elsewhere_is_cut(
    tmp_path: Path, database_url: str
) -> None:
    """On both engines: what the ingress asks of every event is answered anew within a second."""
    async with running(tmp_path, database_url) as heart, opened(database_url) as elsewhere:
        caller = await heart.caller("red")
        assert heart.core.identity.is_current(caller.subject)
        assert caller.subject.token_id is not None
        await elsewhere.tokens.revoke(caller.subject.token_id)

        with anyio.fail_after(1):
            while heart.core.identity.is_current(caller.subject):
                await anyio.sleep(0.005)

        await heart.core.close()


@needs_postgresql
async def test_writers_of_two_processes_take_turns(postgresql_database: str) -> None:
    """What one reads before it writes cannot change under it: one record, whoever is first."""
    async with opened(postgresql_database) as one, opened(postgresql_database) as other:
        async with anyio.create_task_group() as group:
            for number in range(10):
                for store in (one, other):
                    group.start_soon(store.catalog.upsert, provider("same", f"http://{number}"))
                    group.start_soon(store.tokens.create, token(f"{number}{id(store)}"))

        assert len(await one.catalog.all()) == 1
        assert len(await other.tokens.all()) == 20
        assert await one.revision() <= 40


@needs_postgresql
async def test_a_writer_keeps_out_every_other(postgresql_database: str) -> None:
    """From its beginning to its end, whatever it has touched."""
    async with opened(postgresql_database) as one, opened(postgresql_database) as other:
        async with anyio.create_task_group() as group, one.database.writing():
            group.start_soon(other.tokens.create, token("a"))
            await anyio.sleep(0.2)
            assert await one.tokens.all() == ()

        assert len(await one.tokens.all()) == 1


@needs_postgresql
async def test_many_processes_may_start_on_the_same_fresh_database(
    postgresql_database: str,
) -> None:
    """One makes the schema, the others find it."""

    async def start() -> None:
        async with opened(postgresql_database) as store:
            assert await store.revision() == 0

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(start)


class Original(Exception):
    """What a driver raises."""


def failed(**attributes: object) -> DBAPIError:
    original = Original()

    for name, value in attributes.items():
        setattr(original, name, value)

    return OperationalError("SELECT 1", {}, original)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), True),
        (ConnectionRefusedError(), True),
        (failed(sqlstate="57014"), True),
        (failed(sqlstate="55P03"), True),
        (failed(sqlstate="42P01"), False),
        (failed(sqlite_errorcode=5), True),
        (failed(sqlite_errorcode=5 | (2 << 8)), True),
        (failed(sqlite_errorcode=1), False),
        (failed(), False),
        (IntegrityError("INSERT", {}, Original()), False),
    ],
)
def test_a_wrong_statement_is_no_outage(error: Exception, *, expected: bool) -> None:
    """Only what another try may mend is; the rest is a defect and stays one."""
    assert is_away(error) is expected
    outage = Outage("testing")

    def fail() -> None:
        with outage.observed():
            raise error

    with pytest.raises(StoreUnavailable if expected else type(error)):
        fail()

    assert outage.is_on is expected


def test_a_value_the_database_does_not_take_is_neither_an_outage_nor_our_fault() -> None:
    """PostgreSQL's class 22, "data exception": the client is told, and nobody waits."""

    class Refusal(Exception):
        sqlstate = "22021"

    outage = Outage("writing")

    with pytest.raises(StoreRefused, match="cannot keep"), outage.observed():
        raise DBAPIError("INSERT", None, Refusal())

    assert not outage.is_on
