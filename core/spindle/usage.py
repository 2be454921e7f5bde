"""Usage as it is shown: who may see which rows, and their forms as JSON and CSV."""

from __future__ import annotations

import csv
import io
import re
import time
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from spindle.periods import iso
from spindle.store import UsageRow
from spindle.store.usage_reports import DIMENSIONS, Scope
from spindle_spi.errors import InvalidArgument
from spindle_spi.policy import granted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spindle.store.usage_reports import UsageSum
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_RISKY = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for a formula."""

SUM_COLUMNS: Final = (
    "calls",
    "ok",
    "failed",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
    "unpriced_calls",
    "average_ms",
    "slowest_ms",
)
RECORD_COLUMNS: Final = tuple(field.name for field in fields(UsageRow) if field.name != "attempts")


def scope_of(context: AuthenticatedContext) -> Scope:
    """Return whose usage a caller sees.

    Everybody's with `usage.read`, those of a token's teams if it names some; their teams' with
    `teams.update`; and always their own.
    """
    subject, permissions = context.subject, context.visibility_scope.permissions
    teams = subject.token_teams or ()
    is_reader = granted(permissions, "usage.read")

    if is_reader and not teams:
        return Scope(is_everything=True)

    return Scope(
        token_id=subject.token_id,
        user_email=subject.user_email,
        teams=teams if is_reader or granted(permissions, "teams.update") else (),
    )


def dimensions_of(text: str) -> tuple[str, ...]:
    """Return what to group by: names separated by commas; none for one sum of everything.

    Raises:
        InvalidArgument: There is no such dimension, or one is there twice.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())

    if len(set(names)) < len(names) or any(name not in DIMENSIONS for name in names):
        raise InvalidArgument(f"by: expected some of {', '.join(DIMENSIONS)}, each once.")

    return names


def moment_of(text: str, name: str) -> float:
    """Return a moment: seconds since the epoch, an ISO date or time, or `7d` ago (m, h, d, w).

    Raises:
        InvalidArgument: It is none.
    """
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text)

    if ago is not None:
        return time.time() - int(ago[1]) * _UNITS[ago[2]]

    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text):
        return float(text)

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(
            f"{name}: expected 7d, 12h, a date like 2030-01-31, or seconds since the epoch."
        ) from None

    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def show_sum(found: UsageSum) -> JsonObject:
    """Return a group as JSON."""
    return {
        **found.group,
        "calls": found.calls,
        "by_status": dict(found.by_status),
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "total_tokens": found.input_tokens + found.output_tokens,
        "cache_read_tokens": found.cache_read_tokens,
        "cache_write_tokens": found.cache_write_tokens,
        "reasoning_tokens": found.reasoning_tokens,
        "cost_usd": round(found.cost_usd, 9),
        "unpriced_calls": found.unpriced_calls,
        "average_ms": round(found.average_ms, 3),
        "slowest_ms": round(found.slowest_ms, 3),
    }


def show_record(row: UsageRow) -> JsonObject:
    """Return one call as JSON."""
    shown: JsonObject = {name: getattr(row, name) for name in RECORD_COLUMNS}
    return {
        **shown,
        "time": iso(row.at),
        "attempts": [
            {
                "backend": attempt.backend,
                "target": attempt.target,
                "outcome": attempt.outcome,
                "ms": attempt.milliseconds,
            }
            for attempt in row.attempts
        ],
    }


def sum_cells(found: UsageSum) -> list[object]:
    """Return a group as a line of a table: its keys, then `SUM_COLUMNS`."""
    ok = found.by_status["ok"]
    numbers: Mapping[str, object] = {"ok": ok, "failed": found.calls - ok, **show_sum(found)}
    return [*found.group.values(), *(numbers[name] for name in SUM_COLUMNS)]


def csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Return lines of CSV (RFC 4180); no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out)

    for row in rows:
        writer.writerow([_safe(cell) for cell in row])

    return out.getvalue().encode("utf-8", "replace")


def _safe(cell: object) -> object:
    if cell is None:
        return ""

    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_RISKY) else cell
