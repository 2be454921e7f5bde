"""Times as people type them: `30d`, a date, `mon-fri/08:00-18:00`."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

from spindle.cli.failures import Failure
from spindle_spi.context import TimeWindow

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS: Final = re.compile(
    r"(?:(?P<days>[a-z,-]+)/)?(?P<start>\d\d):(?P<first>\d\d)-(?P<end>\d\d):(?P<last>\d\d)"
)
_DAY: Final = 24 * 60


def moment_of(text: str) -> float:
    """Return the moment of `30d`, `12h` or an ISO date, as seconds since the epoch."""
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text)

    if match is not None:
        return time.time() + int(match.group(1)) * _UNITS[match.group(2)]

    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise Failure(f"{text!r} is no time: write 30d, 12h, or a date like 2030-01-31.") from exc

    zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

    if zoned.timestamp() <= time.time():
        raise Failure(f"{text} is in the past.")

    return zoned.timestamp()


def hours_of(text: str) -> tuple[TimeWindow, ...]:
    """Return the hours of `mon-fri/08:00-18:00` or `22:00-06:00`, in UTC.

    Hours over midnight are two windows; the days are those on which they begin.
    """
    match = _HOURS.fullmatch(text.strip().lower())
    start = end = _DAY + 1

    if match is not None:
        start = int(match["start"]) * 60 + int(match["first"])
        end = int(match["end"]) * 60 + int(match["last"])

    if match is None or start >= _DAY or end > _DAY or start == end:
        raise Failure(
            f"{text!r} are no hours: write mon-fri/08:00-18:00, sat,sun/10:00-16:00 or "
            "22:00-06:00; the times are UTC."
        )

    days = _days(match["days"] or "mon-sun", text)

    if start < end:
        return (TimeWindow(days=days, start_minute=start, end_minute=end),)

    evening = TimeWindow(days=days, start_minute=start, end_minute=_DAY)
    next_days = tuple(sorted((day + 1) % 7 for day in days))
    morning = TimeWindow(days=next_days, start_minute=0, end_minute=end)
    return (evening, morning) if end else (evening,)


def _days(text: str, whole: str) -> tuple[int, ...]:
    days: set[int] = set()

    for part in text.split(","):
        first, _, last = part.partition("-")

        if first not in _DAYS or (last or first) not in _DAYS:
            raise Failure(f"{whole!r}: the days are {', '.join(_DAYS)}, or mon-fri.")

        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        days |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}

    return tuple(sorted(days))
