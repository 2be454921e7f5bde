"""`spindle audit list | export | prune`, on the store directly."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle.administrator import local_context
from spindle.api.audit import json_lines, moment, show
from spindle.audit import Audit, AuditEntry
from spindle.cli.failures import Failure, reported
from spindle.cli.stores import on_store
from spindle.cli.tables import print_table
from spindle.retention import Janitor, Rule, days
from spindle.store.audit import AuditFilter, AuditRow
from spindle.store.tables import AUDIT

if TYPE_CHECKING:
    from spindle.config import Settings
    from spindle.home import Sources
    from spindle.store import Store

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditWish:
    """Which entries are wanted; times as people write them."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    decision: str | None = None
    request_id: str | None = None
    since: str | None = None
    until: str | None = None

    def filter(self) -> AuditFilter:
        """Return the filter.

        Raises:
            Failure: A time is none.
        """
        return AuditFilter(
            actor=self.actor,
            action=self.action,
            target=self.target,
            decision=self.decision,
            request_id=self.request_id,
            since=None if self.since is None else _moment(self.since),
            until=None if self.until is None else _moment(self.until),
        )


def list_entries(sources: Sources, wish: AuditWish, *, limit: int, as_json: bool) -> None:
    """List the newest entries."""

    async def work(store: Store, settings: Settings) -> tuple[AuditRow, ...]:
        del settings
        return await store.audit.page(wish.filter(), limit=limit)

    with reported():
        rows = on_store(sources, work)

    if as_json:
        print(json.dumps([show(row) for row in rows]))
        return

    print_table(
        ("AT", "WHO", "ACTION", "TARGET", "DECISION", "REASON"),
        [
            (
                str(show(row)["at"]),
                row.actor or row.token_id or row.client_ip or "-",
                row.action,
                row.target,
                row.decision,
                row.reason or "-",
            )
            for row in rows
        ],
    )


def export(sources: Sources, wish: AuditWish) -> None:
    """Write every wanted entry to standard output, a line of JSON each."""

    async def work(store: Store, settings: Settings) -> None:
        del settings

        async for lines in json_lines(store.audit, wish.filter()):
            sys.stdout.write(lines.decode())

    with reported():
        on_store(sources, work)


def prune(sources: Sources, *, days_kept: int | None, rows_kept: int | None, as_json: bool) -> None:
    """Delete old entries now, by the configured retention or a stricter one."""

    async def work(store: Store, settings: Settings) -> int:
        retention = settings.retention
        rule = Rule(
            table=AUDIT,
            column="at",
            max_age=days(retention.audit_days if days_kept is None else days_kept),
            max_rows=(retention.audit_rows if rows_kept is None else rows_kept) or None,
        )
        gone = (await Janitor(store.database, retention).sweep([rule])).get(AUDIT.name, 0)
        entry = AuditEntry(action="audit.prune", target="audit", after={"deleted": gone})
        await Audit(store).record(local_context(), entry)
        return gone

    with reported():
        number = on_store(sources, work)

    print(json.dumps({"deleted": number}) if as_json else f"{number} entries are deleted.")


def _moment(text: str) -> float:
    """Return a moment: 30d and 12h ago, an ISO date, or seconds since the epoch."""
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text)

    if ago is not None:
        return time.time() - int(ago.group(1)) * _UNITS[ago.group(2)]

    try:
        return moment(text)
    except (ValueError, OverflowError) as exc:
        raise Failure(
            f"{text!r} is no time: write 30d or 12h for so long ago, or a date like 2030-01-31."
        ) from exc
