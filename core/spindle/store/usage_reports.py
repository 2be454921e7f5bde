"""Usage summed and listed by the database, in pages: no table is read into memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Text, case, cast, func, literal, or_, select

from spindle.store.rows import UsageRow
from spindle.store.tables import USAGE
from spindle_spi.admission import Attempt

if TYPE_CHECKING:
    from spindle.store.database import Database

_SEPARATOR = "\x1f"
_COLUMNS = {
    "token": USAGE.c.token_id,
    "user": USAGE.c.user_email,
    "team": USAGE.c.caller_team,
    "model": USAGE.c.record,
    "provider": USAGE.c.backend,
    "kind": USAGE.c.kind,
    "status": USAGE.c.status,
}
_SPANS = {"day": 86_400, "hour": 3600}

DIMENSIONS: Final = (*_COLUMNS, *_SPANS)
"""What usage can be grouped by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose rows may be seen: those of any of these; all of them when `is_everything`."""

    is_everything: bool = False
    token_id: str | None = None
    user_email: str | None = None
    teams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFilter:
    """Which rows are meant."""

    scope: Scope
    since: float | None = None
    until: float | None = None
    equal: Mapping[str, str]
    """By a dimension that is a column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """What the calls of one group used."""

    cursor: str
    group: Mapping[str, str | None]
    calls: int
    by_status: Mapping[str, int]
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float
    unpriced_calls: int
    average_ms: float
    slowest_ms: float


_STATUSES = ("ok", "error", "cancelled", "partial", "denied", "lost")
_SUMS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


class UsageReports:
    """Questions about usage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def grouped(
        self, by: Sequence[str], which: UsageFilter, *, after: str | None, most: int
    ) -> tuple[UsageSum, ...]:
        """Return sums by dimensions, in their order, those after a cursor."""
        keys = [self._dimension(name) for name in by]
        shown: list[ColumnElement[str]] = [func.coalesce(key, "") for key in keys]
        place: ColumnElement[str] = shown[0] if shown else literal("")

        for key in shown[1:]:
            place = place + literal(_SEPARATOR) + key

        # Bytes, not a language's order: a cursor has to mean the same in both engines.
        place = place.collate("C" if self._is_postgresql else "BINARY")
        query = select(
            *(key.label(f"key{index}") for index, key in enumerate(keys)),
            place.label("place"),
            func.count().label("calls"),
            *(
                func.sum(case((USAGE.c.status == status, 1), else_=0)).label(f"is_{status}")
                for status in _STATUSES
            ),
            *(func.sum(USAGE.c[name]).label(name) for name in _SUMS),
            func.sum(func.coalesce(USAGE.c.cost_usd, 0.0)).label("cost_usd"),
            func.sum(case((USAGE.c.cost_usd.is_(None), 1), else_=0)).label("unpriced"),
            func.avg(USAGE.c.total_ms).label("average_ms"),
            func.max(USAGE.c.total_ms).label("slowest_ms"),
        ).where(*_conditions(which))

        if after is not None:
            query = query.where(place > after)

        if keys:
            query = query.group_by(*keys, place)

        async with self._database.reading() as connection:
            rows = (await connection.execute(query.order_by(place).limit(most))).mappings().all()

        return tuple(
            UsageSum(
                cursor=row["place"] or "",
                group={name: row[f"key{index}"] for index, name in enumerate(by)},
                calls=int(row["calls"]),
                by_status={status: int(row[f"is_{status}"] or 0) for status in _STATUSES},
                cost_usd=float(row["cost_usd"] or 0.0),
                unpriced_calls=int(row["unpriced"] or 0),
                average_ms=float(row["average_ms"] or 0.0),
                slowest_ms=float(row["slowest_ms"] or 0.0),
                **{name: int(row[name] or 0) for name in _SUMS},
            )
            for row in rows
        )

    async def records(
        self, which: UsageFilter, *, before: tuple[float, str] | None, most: int
    ) -> tuple[UsageRow, ...]:
        """Return single calls, the newest first, those older than a place."""
        query = select(USAGE).where(*_conditions(which))

        if before is not None:
            at, identity = before
            is_older = (USAGE.c.at < at) | ((USAGE.c.at == at) & (USAGE.c.id < identity))
            query = query.where(is_older)

        query = query.order_by(USAGE.c.at.desc(), USAGE.c.id.desc()).limit(most)

        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()

        return tuple(_row(dict(row)) for row in rows)

    @property
    def _is_postgresql(self) -> bool:
        return self._database.engine.dialect.name == "postgresql"

    def _dimension(self, name: str) -> ColumnElement[str]:
        if name in _COLUMNS:
            return _COLUMNS[name]

        seconds = _SPANS[name]
        # A cast rounds in one engine and cuts off in the other.
        floored = func.floor(USAGE.c.at / seconds) if self._is_postgresql else USAGE.c.at / seconds
        start = cast(floored, BigInteger) * seconds

        if self._is_postgresql:
            moment = func.timezone("UTC", func.to_timestamp(start))
            words = "YYYY-MM-DD" if name == "day" else 'YYYY-MM-DD"T"HH24:00:00"Z"'
            return cast(func.to_char(moment, words), Text)

        words = "%Y-%m-%d" if name == "day" else "%Y-%m-%dT%H:00:00Z"
        return cast(func.strftime(words, start, "unixepoch"), Text)


def _conditions(which: UsageFilter) -> list[ColumnElement[bool]]:
    conditions = [_COLUMNS[name] == value for name, value in which.equal.items()]

    if which.since is not None:
        conditions.append(USAGE.c.at >= which.since)

    if which.until is not None:
        conditions.append(USAGE.c.at < which.until)

    scope = which.scope

    if not scope.is_everything:
        own: list[ColumnElement[bool]] = [literal(value=False)]

        if scope.token_id is not None:
            own.append(USAGE.c.token_id == scope.token_id)

        if scope.user_email is not None:
            own.append(USAGE.c.user_email == scope.user_email)

        if scope.teams:
            own.append(USAGE.c.caller_team.in_(scope.teams))

        conditions.append(or_(*own))

    return conditions


def _row(values: dict[str, object]) -> UsageRow:
    attempts = msgspec.json.decode(str(values["attempts"]), type=tuple[Attempt, ...])
    return UsageRow(**{**values, "attempts": attempts})  # type: ignore[arg-type]
