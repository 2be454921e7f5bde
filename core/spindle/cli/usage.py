"""`spindle usage`, on the store directly."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spindle.cli.failures import reported
from spindle.cli.stores import on_store
from spindle.cli.tables import print_table
from spindle.store.usage_reports import Scope, UsageFilter
from spindle.usage import SUM_COLUMNS, csv_lines, dimensions_of, moment_of, show_sum, sum_cells

if TYPE_CHECKING:
    from spindle.config import Settings
    from spindle.home import Sources
    from spindle.store import Store
    from spindle.store.usage_reports import UsageSum

_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageWish:
    """What is wanted; times as people write them."""

    by: str
    since: str
    until: str | None = None
    team: str | None = None
    user: str | None = None


def show_usage(sources: Sources, wish: UsageWish, *, form: Literal["table", "csv", "json"]) -> None:
    """Print sums."""

    async def work(store: Store, settings: Settings) -> tuple[tuple[str, ...], list[UsageSum]]:
        del settings
        by, which = dimensions_of(wish.by), _filter(wish)
        found: list[UsageSum] = []
        after: str | None = None

        while rows := await store.usage_reports.grouped(by, which, after=after, most=_PAGE):
            found += rows

            if len(rows) < _PAGE or not by:
                break

            after = rows[-1].cursor

        return by, found

    with reported():
        by, sums = on_store(sources, work)

    if form == "json":
        print(json.dumps([show_sum(row) for row in sums]))
    elif form == "csv":
        lines = [(*by, *SUM_COLUMNS), *(sum_cells(row) for row in sums)]
        sys.stdout.write(csv_lines(lines).decode())
    else:
        _print(by, sums)


def _print(by: tuple[str, ...], sums: list[UsageSum]) -> None:
    print_table(
        (*(name.upper() for name in by), "CALLS", "FAILED", "INPUT", "OUTPUT", "USD", "MS"),
        [
            (
                *(value or "-" for value in row.group.values()),
                str(row.calls),
                str(row.calls - row.by_status["ok"]),
                str(row.input_tokens),
                str(row.output_tokens),
                f"{row.cost_usd:.6f}",
                f"{row.average_ms:.1f}",
            )
            for row in sums
        ],
    )


def _filter(wish: UsageWish) -> UsageFilter:
    wanted = {"team": wish.team, "user": wish.user}
    return UsageFilter(
        scope=Scope(is_everything=True),
        since=moment_of(wish.since, "--since"),
        until=None if wish.until is None else moment_of(wish.until, "--until"),
        equal={name: value for name, value in wanted.items() if value is not None},
    )
