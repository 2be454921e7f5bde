"""Retention: deletes what is too old or too much, in small steps that leave the writers alone.

Who has a table that grows adds a rule: `core.retention.add(Rule(table=…, column="at", max_age=…))`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import structlog
from sqlalchemy import Table, delete, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from spindle.config.retention import RetentionSettings
from spindle.store.outage import StoreRefused, StoreUnavailable
from spindle.store.tables import (
    AUDIT,
    BUDGET_SPEND,
    INVITATIONS,
    LOGIN_SESSIONS,
    SESSIONS,
    USAGE,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spindle.store.database import Database

_LOG = structlog.get_logger("spindle.retention")

DELETED = "spindle_retention_deleted_total"

_FIRST_SECONDS = 60.0
"""After the start; whoever starts often must not always sweep."""
_REST = 4.0
"""Rests between batches, as a multiple of what a batch took."""
_LEAST_REST_SECONDS = 0.02
_ENDED_SECONDS = 30 * 86_400.0
"""How long what is over can still be looked up."""
_PERIOD_SECONDS = 62 * 86_400.0
_AWAY = (OSError, SQLAlchemyError, StoreUnavailable, StoreRefused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What of one table may go. None bounds nothing."""

    table: Table
    column: str
    """Time of a row in seconds since the epoch; indexed, or the table is small."""
    max_age: float | None = None
    """Seconds; 0 for a column that says when a row ends."""
    max_rows: int | None = None
    """Rows that stay at most, those with the latest time."""
    spared: float | None = None
    """A time that stands for none: its rows stay."""


def days(number: int) -> float | None:
    """Return an age in seconds; None for 0, which keeps for good."""
    return number * 86_400.0 if number else None


def core_rules(settings: RetentionSettings) -> tuple[Rule, ...]:
    """Return the rules of the core's own tables; a session takes its events with it."""
    return (
        Rule(
            table=AUDIT,
            column="at",
            max_age=days(settings.audit_days),
            max_rows=settings.audit_rows or None,
        ),
        Rule(table=USAGE, column="at", max_age=days(settings.usage_days)),
        Rule(table=SESSIONS, column="expires_at", max_age=0.0),
        Rule(table=LOGIN_SESSIONS, column="expires_at", max_age=_ENDED_SECONDS),
        Rule(table=INVITATIONS, column="expires_at", max_age=_ENDED_SECONDS),
        # The longest period is a month; one without an end begins at 0.
        Rule(table=BUDGET_SPEND, column="period_start", max_age=_PERIOD_SECONDS, spared=0),
    )


def _count_nothing(name: str, value: float, labels: dict[str, str]) -> None:
    del name, value, labels


class Janitor:
    """Sweeps the tables that have rules."""

    def __init__(
        self,
        database: Database,
        settings: RetentionSettings | None = None,
        *,
        count: Callable[[str, float, dict[str, str]], None] = _count_nothing,
    ) -> None:
        self._database = database
        self._settings = settings or RetentionSettings()
        self._count = count
        self._rules: list[Rule] = []

    def add(self, *rules: Rule) -> None:
        """Sweep by these rules from now on."""
        self._rules += rules

    async def run(self) -> None:
        """Sweep again and again until cancelled."""
        await anyio.sleep(min(_FIRST_SECONDS, self._settings.every_seconds))

        while True:
            try:
                await self.sweep()
            except _AWAY as exc:
                _LOG.error("tables not swept, trying again later", kind=type(exc).__name__)

            await anyio.sleep(self._settings.every_seconds)

    async def sweep(self, rules: Iterable[Rule] | None = None) -> dict[str, int]:
        """Delete what the rules let go; return how many rows of each table.

        A failure in the middle leaves what was deleted before it.
        """
        gone: dict[str, int] = {}

        for rule in self._rules if rules is None else rules:
            cutoff = await self._cutoff(rule)

            if cutoff is None:
                continue

            name = rule.table.name
            number = await self._delete_up_to(rule, cutoff)
            gone[name] = gone.get(name, 0) + number

            if number:
                self._count(DELETED, float(number), {"table": name})
                _LOG.info("old rows deleted", table=name, rows=number)

        return gone

    async def _cutoff(self, rule: Rule) -> float | None:
        """Return the time up to which rows go."""
        oldest = None if rule.max_age is None else time.time() - rule.max_age

        if rule.max_rows is None:
            return oldest

        column = rule.table.c[rule.column]
        surplus = select(column).order_by(column.desc()).offset(rule.max_rows).limit(1)

        async with self._database.reading() as connection:
            too_many: float | None = (await connection.execute(surplus)).scalar_one_or_none()

        times = [moment for moment in (oldest, too_many) if moment is not None]
        return max(times, default=None)

    async def _delete_up_to(self, rule: Rule, cutoff: float) -> int:
        table, column = rule.table, rule.table.c[rule.column]
        key = tuple_(*table.primary_key.columns)
        is_old = column <= cutoff

        if rule.spared is not None:
            is_old &= column != rule.spared

        batch = (
            select(*table.primary_key.columns)
            .where(is_old)
            .order_by(column)
            .limit(self._settings.batch_rows)
        )
        total = 0

        while True:
            started = time.monotonic()

            async with self._database.appending() as connection:
                number = (await connection.execute(delete(table).where(key.in_(batch)))).rowcount

            total += number

            if number < self._settings.batch_rows:
                return total

            await anyio.sleep(max(_LEAST_REST_SECONDS, _REST * (time.monotonic() - started)))
