"""`spindle budget` and `spindle limit`, on the store directly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from spindle.administrator import local_context
from spindle.audit import Audit, AuditEntry
from spindle.cli.failures import Failure, reported
from spindle.cli.stores import on_store
from spindle.cli.tables import print_table
from spindle.spending import check_budget, check_limit, show_budget, show_limit, totals_of

if TYPE_CHECKING:
    from spindle.config import Settings
    from spindle.home import Sources
    from spindle.store import Store
    from spindle.store.budgets import BudgetRow
    from spindle.store.limits import RateLimitRow
    from spindle_spi.types import Json, JsonObject


def list_budgets(sources: Sources, *, as_json: bool) -> None:
    """Print every budget, each of its holders on a line."""

    async def work(store: Store, settings: Settings) -> list[JsonObject]:
        del settings
        rows = await store.budgets.all()
        totals = await totals_of(store, rows)
        return [show_budget(row, totals) for row in rows]

    with reported():
        budgets = on_store(sources, work)

    if as_json:
        print(json.dumps(budgets))
        return

    lines: list[tuple[str, ...]] = []

    for budget in budgets:
        listed = budget["spending"]
        nobody: Json = {}
        holders = listed if isinstance(listed, list) and listed else [nobody]

        for holder in holders:
            spending: JsonObject = holder if isinstance(holder, dict) else {}
            lines.append(
                (
                    str(budget["id"]),
                    str(budget["scope"]),
                    str(spending.get("holder") or budget["name"] or "-"),
                    str(budget["period"]),
                    str(budget["mode"]),
                    f"{spending.get('spent_usd', 0.0)} of {_shown(budget['limit_usd'])}",
                    f"{spending.get('spent_tokens', 0)} of {_shown(budget['limit_tokens'])}",
                    _shown(budget["resets_at"]),
                )
            )

    print_table(("ID", "SCOPE", "WHOSE", "PERIOD", "MODE", "USD", "TOKENS", "RESETS"), lines)


def create_budget(sources: Sources, row: BudgetRow, *, as_json: bool) -> None:
    """Make one."""

    async def work(store: Store, settings: Settings) -> JsonObject:
        check_budget(row)
        shown = show_budget(await store.budgets.create(row))
        await _note(store, settings, "budgets.create", str(shown["id"]), after=shown)
        return shown

    with reported():
        made = on_store(sources, work)

    print(json.dumps(made) if as_json else made["id"])


def delete_budget(sources: Sources, identity: str) -> None:
    """Delete one."""

    async def work(store: Store, settings: Settings) -> None:
        row = await store.budgets.get(identity)

        if row is None or not await store.budgets.delete(identity):
            raise Failure(f"There is no budget {identity!r}; see `spindle budget list`.")

        await _note(store, settings, "budgets.delete", identity, before=show_budget(row))

    with reported():
        on_store(sources, work)

    print(f"The budget {identity} is deleted.")


def list_limits(sources: Sources, *, as_json: bool) -> None:
    """Print every limit of the database."""
    with reported():
        rows = on_store(sources, lambda store, _: store.rate_limits.all())

    if as_json:
        print(json.dumps([show_limit(row) for row in rows]))
        return

    print_table(
        ("ID", "SCOPE", "WHOSE", "REQUESTS/MIN", "TOKENS/MIN"),
        [
            (
                row.id,
                row.scope,
                row.name,
                _shown(row.requests_per_minute),
                _shown(row.tokens_per_minute),
            )
            for row in rows
        ],
    )


def create_limit(sources: Sources, row: RateLimitRow, *, as_json: bool) -> None:
    """Make one."""

    async def work(store: Store, settings: Settings) -> JsonObject:
        check_limit(row)
        shown = show_limit(await store.rate_limits.create(row))
        await _note(store, settings, "limits.create", str(shown["id"]), after=shown)
        return shown

    with reported():
        made = on_store(sources, work)

    print(json.dumps(made) if as_json else made["id"])


def delete_limit(sources: Sources, identity: str) -> None:
    """Delete one."""

    async def work(store: Store, settings: Settings) -> None:
        row = await store.rate_limits.get(identity)

        if row is None or not await store.rate_limits.delete(identity):
            raise Failure(f"There is no limit {identity!r}; see `spindle limit list`.")

        await _note(store, settings, "limits.delete", identity, before=show_limit(row))

    with reported():
        on_store(sources, work)

    print(f"The limit {identity} is deleted.")


async def _note(
    store: Store,
    settings: Settings,
    action: str,
    target: str,
    *,
    before: JsonObject | None = None,
    after: JsonObject | None = None,
) -> None:
    entry = AuditEntry(action=action, target=target, before=before, after=after)
    await Audit(store, settings.audit).record(local_context(), entry)


def _shown(value: object) -> str:
    return "-" if value is None else str(value)
