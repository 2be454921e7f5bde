"""Usage rows in the store."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from spindle.store import UsageRow
from spindle.store.tables import USAGE
from spindle.store.usage import insert_statement
from spindle_spi.admission import Attempt
from tests.core.store.opened import opened, usage

if TYPE_CHECKING:
    from pathlib import Path


def rows(path: Path) -> list[dict[str, object]]:
    connection = sqlite3.connect(path / "spindle.db")
    connection.row_factory = sqlite3.Row

    try:
        return [dict(row) for row in connection.execute("SELECT * FROM usage ORDER BY at")]
    finally:
        connection.close()


def test_the_columns_are_the_fields_in_their_order() -> None:
    """Rows go to the driver as tuples; this is what makes that right."""
    assert [column.name for column in USAGE.columns] == [field.name for field in fields(UsageRow)]


async def test_a_batch_is_stored_with_every_field(tmp_path: Path) -> None:
    """What the ledger says stands in the table."""
    attempt = Attempt(backend="mock", target="http://x", outcome="ok", milliseconds=1.5)
    full = replace(
        usage(1), stream=True, cost_usd=0.25, error_code="x.y", attempts=(attempt, attempt)
    )

    async with opened(tmp_path) as store:
        await store.usage.add_many([usage(0), full])
        assert await store.usage.count() == 2

    first, second = rows(tmp_path)
    assert first["attempts"] == "[]"
    assert first["stream"] == 0
    assert second["cost_usd"] == 0.25
    assert second["stream"] == 1
    assert (
        json.loads(str(second["attempts"]))
        == [
            {
                "backend": "mock",
                "target": "http://x",
                "outcome": "ok",
                "milliseconds": 1.5,
                "status": None,
                "waited_ms": 0.0,
            }
        ]
        * 2
    )


async def test_a_row_written_again_counts_once(tmp_path: Path) -> None:
    """A batch whose end nobody saw is written again without harm."""
    async with opened(tmp_path) as store:
        await store.usage.add_many([usage(0), usage(1)])
        await store.usage.add_many([usage(1), usage(2)])
        await store.usage.add_many([])

        assert await store.usage.count() == 3


@pytest.mark.parametrize("number", [1, 19, 20, 21, 199, 500, 545, 1160])
async def test_rows_are_the_same_in_statements_of_any_size(tmp_path: Path, number: int) -> None:
    """Many rows of one statement are as many rows as by one statement each, in their columns."""
    batch = [replace(usage(each), input_tokens=each, total_ms=each / 2) for each in range(number)]

    async with opened(tmp_path) as store:
        await store.usage.add_many(batch)
        await store.usage.add_many([*batch, usage(number)])

    stored = rows(tmp_path)
    assert [row["id"] for row in stored] == [usage(each).id for each in range(number + 1)]
    assert [row["input_tokens"] for row in stored[:-1]] == list(range(number))
    assert [row["total_ms"] for row in stored[:-1]] == [each / 2 for each in range(number)]


async def test_an_odd_row_among_many_is_made_to_fit(tmp_path: Path) -> None:
    """Its statement fails as a whole, and none of the others is lost or written twice."""
    batch = [usage(each) for each in range(260)]
    batch[130] = replace(batch[130], record="lone \ud800 surrogate")

    async with opened(tmp_path) as store:
        await store.usage.add_many(batch)

    stored = rows(tmp_path)
    assert [row["id"] for row in stored] == [each.id for each in batch]
    assert stored[130]["record"] == "lone ? surrogate"


@pytest.mark.parametrize(
    "odd",
    [
        replace(usage(1), record="lone \ud800 surrogate"),
        replace(usage(1), input_tokens=10**40),
        replace(usage(1), output_tokens=-(10**40)),
        replace(usage(1), total_ms=float("inf")),
        replace(usage(1), total_ms=float("nan"), cost_usd=float("nan")),
        replace(
            usage(1), attempts=(Attempt(backend="\ud800", target="", outcome="", milliseconds=0),)
        ),
    ],
)
async def test_an_odd_row_does_not_hold_up_its_batch(tmp_path: Path, odd: UsageRow) -> None:
    """What the table cannot hold is made to fit; the other rows are as they were."""
    async with opened(tmp_path) as store:
        await store.usage.add_many([usage(0), odd, usage(2)])
        assert await store.usage.count() == 3

    assert [row["record"] for row in rows(tmp_path)][::2] == ["mock~echo"] * 2


async def test_usage_does_not_raise_the_revision(tmp_path: Path) -> None:
    """Counting calls must not make every process read its catalog again."""
    async with opened(tmp_path) as store:
        await store.usage.add_many([usage(0)])

        assert await store.revision() == 0


def test_the_statement_is_the_same_on_postgresql() -> None:
    """Same columns, numbered parameters, and a row that exists is left alone."""
    statement = insert_statement(make_url("postgresql+asyncpg://db/x").get_dialect()())

    assert "ON CONFLICT DO NOTHING" in statement
    assert "$24" in statement
