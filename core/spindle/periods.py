"""Periods of budgets: days, weeks and months of the calendar, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def period_of(period: str, now: float) -> tuple[int, int | None]:
    """Return when the period of a moment begins and ends, in UTC; None for one without an end."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    if period == "day":
        start, end = today, today + timedelta(days=1)
    elif period == "week":
        start = today - timedelta(days=today.weekday())
        end = start + timedelta(days=7)
    elif period == "month":
        start = today.replace(day=1)
        end = (start + timedelta(days=32)).replace(day=1)
    else:
        return 0, None

    return int(start.timestamp()), int(end.timestamp())


def iso(moment: float) -> str:
    """Return a moment as people and programs write it, in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
