"""The ledger: rows neither lost nor doubled, whatever the store does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from spindle.ledger import Ledger
from spindle.store import Store, UsageRow
from spindle.store.usage import Usage
from spindle_spi.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


def row(name: str) -> UsageRow:
    return UsageRow(
        id=name,
        at=1.0,
        request_id="r",
        token_id=None,
        user_email=None,
        team=None,
        kind="tool",
        record="t",
        backend=None,
        served_by=None,
        action="execute",
        status="ok",
        stream=False,
        input_tokens=0,
        output_tokens=0,
        cache_read_tokens=0,
        cache_write_tokens=0,
        reasoning_tokens=0,
        estimated=False,
        cost_usd=None,
        total_ms=1.0,
        first_byte_ms=None,
        error_code=None,
    )


@dataclass
class Faulty:
    """Usage of a store, behind something that goes wrong when told to."""

    real: Usage
    fault: Callable[[Sequence[UsageRow]], BaseException | None] = field(default=lambda rows: None)
    after: anyio.Event | None = None
    calls: int = 0

    async def add_many(self, rows: Sequence[UsageRow]) -> None:
        self.calls += 1
        exc = self.fault(rows)

        if exc is not None:
            raise exc

        await self.real.add_many(rows)

        if self.after is not None:
            self.after.set()
            await anyio.sleep_forever()

    async def count(self) -> int:
        return await self.real.count()


@dataclass
class Bench:
    store: Store
    usage: Faulty

    def ledger(self, *, window: float = 60.0, most: int = 1000) -> Ledger:
        return Ledger(self.store, flush_seconds=window, max_pending=most)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncGenerator[Bench]:
    store = await Store.open(f"sqlite+aiosqlite:///{tmp_path}/x.db")
    usage = Faulty(store.usage)
    store.usage = usage  # type: ignore[assignment]
    yield Bench(store, usage)
    await store.close()


AWAY = OperationalError("insert", None, Exception("away"))


async def test_a_failed_write_keeps_its_rows(bench: Bench) -> None:
    """The next one writes them, once, with what came meanwhile."""
    ledger = bench.ledger()
    bench.usage.fault = lambda rows: AWAY
    await ledger.add(row("a"))

    with pytest.raises(OperationalError):
        await ledger.flush()

    assert ledger.pending() == 1
    await ledger.add(row("b"))
    bench.usage.fault = lambda rows: None
    await ledger.flush()
    await ledger.flush()
    assert (ledger.pending(), await bench.store.usage.count()) == (0, 2)


async def test_a_write_cut_after_its_commit_counts_once(bench: Bench) -> None:
    """Cancelled between commit and bookkeeping, the rows are written again and doubled nowhere."""
    ledger = bench.ledger()
    await ledger.add(row("a"))
    bench.usage.after = anyio.Event()
    task = asyncio.create_task(ledger.flush())
    await bench.usage.after.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert (ledger.pending(), await bench.store.usage.count()) == (1, 1)
    bench.usage.after = None
    await ledger.flush()
    assert (ledger.pending(), await bench.store.usage.count()) == (0, 1)


async def test_many_writers_write_each_row_once(bench: Bench) -> None:
    """Adds and flushes at the same time, with a buffer that is always full."""
    ledger = bench.ledger(most=3)

    async def work(name: str) -> None:
        for number in range(20):
            await ledger.add(row(f"{name}{number}"))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        for name in "abcde":
            group.start_soon(work, name)

    await ledger.close()
    assert (ledger.pending(), await bench.store.usage.count()) == (0, 100)


async def test_many_rows_do_not_wait_for_the_end_of_their_window(bench: Bench) -> None:
    """What waits is memory, so it does not grow with the rate of calls."""
    ledger = bench.ledger(window=3600.0)

    async with anyio.create_task_group() as group:
        group.start_soon(ledger.run)

        for number in range(499):
            await ledger.add(row(f"{number}"))

        await anyio.sleep(0.05)
        assert bench.usage.calls == 0
        await ledger.add(row("the last"))

        with anyio.fail_after(5):
            while ledger.pending():
                await anyio.sleep(0.005)

        group.cancel_scope.cancel()

    assert await bench.store.usage.count() == 500


async def test_without_a_window_the_row_is_written_or_the_call_fails(bench: Bench) -> None:
    """Before the answer goes out; a row that failed is written by the next try."""
    ledger = bench.ledger(window=0.0)
    await ledger.add(row("a"))
    assert await bench.store.usage.count() == 1
    bench.usage.fault = lambda rows: AWAY

    with pytest.raises(Unavailable):
        await ledger.add(row("b"))

    bench.usage.fault = lambda rows: None
    await ledger.add(row("c"))
    assert await bench.store.usage.count() == 3


@pytest.mark.parametrize("window", [0.0, 0.001])
async def test_the_loop_outlives_a_store_that_is_away(
    bench: Bench, window: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on trying, with a window or without, and writes when the store is back."""
    monkeypatch.setattr("spindle.ledger._RETRY_SECONDS", 0.001)
    ledger = bench.ledger(window=window)
    bench.usage.fault = lambda rows: OSError("no route")

    async with anyio.create_task_group() as group:
        group.start_soon(ledger.run)

        try:
            await ledger.add(row("a"))
        except Unavailable:
            assert window == 0

        with anyio.fail_after(5):
            while bench.usage.calls < 3:
                await anyio.sleep(0.001)

            bench.usage.fault = lambda rows: None

            while ledger.pending():
                await anyio.sleep(0.001)

        group.cancel_scope.cancel()

    assert await bench.store.usage.count() == 1


async def test_a_full_buffer_is_written_and_a_stuck_one_says_so(bench: Bench) -> None:
    """While the store fails no call waits for it, and the ledger tells that it takes no more."""
    ledger = bench.ledger(most=2)
    await ledger.add(row("a"))
    await ledger.add(row("b"))
    assert (ledger.pending(), ledger.is_stuck()) == (0, False)
    bench.usage.fault = lambda rows: AWAY

    for name in "cdefg":
        await ledger.add(row(name))

    assert bench.usage.calls == 2
    assert ledger.is_stuck()
    bench.usage.fault = lambda rows: None
    await ledger.close()
    assert not ledger.is_stuck()
    assert await bench.store.usage.count() == 7


async def test_a_row_nothing_can_write_holds_up_no_other(bench: Bench) -> None:
    """Whatever is wrong with one row of many: the others are written, and it is let go."""
    ledger = bench.ledger()

    def fault(rows: Sequence[UsageRow]) -> BaseException | None:
        if any(each.id == "bad" for each in rows):
            return IntegrityError("insert", None, Exception("no"))

        return ValueError() if any(each.id == "worse" for each in rows) else None

    bench.usage.fault = fault

    for name in ("a", "bad", "b", "worse", "c"):
        await ledger.add(row(name))

    await ledger.flush()
    assert (ledger.pending(), await bench.store.usage.count()) == (0, 3)


async def test_closing_on_a_dead_store_does_not_raise(bench: Bench) -> None:
    """It says how much is lost."""
    ledger = bench.ledger()
    await ledger.add(row("a"))
    bench.usage.fault = lambda rows: AWAY
    await ledger.close()
    assert ledger.pending() == 1
