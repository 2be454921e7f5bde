"""`spindle usage`, `spindle budget`, `spindle limit`: on the store directly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio

from spindle.store import Store, UsageRow
from tests.core.cli.runner import Ran, run
from tests.core.store.opened import url_of, usage

if TYPE_CHECKING:
    from pathlib import Path


def call(home: Path, *arguments: str) -> Ran:
    return run(*arguments, "--home", str(home))


def test_budgets_and_limits_by_command(tmp_path: Path) -> None:
    """Made, listed for people and programs, deleted; faults say what to do."""
    made = call(tmp_path, "budget", "create", "--period", "day", "--usd", "5", "--soft")
    assert made.code == 0, made.stderr
    identity = made.stdout.strip()
    assert "0.0 of 5.0" in call(tmp_path, "budget", "list").stdout
    (shown,) = json.loads(call(tmp_path, "usage", "budgets", "--json").stdout)
    assert (shown["id"], shown["mode"]) == (identity, "soft")
    twice = call(tmp_path, "budget", "create", "--period", "day", "--usd", "1")
    assert twice.code == 1
    assert "change that one" in twice.stderr
    wrong = call(tmp_path, "budget", "create", "--period", "day", "--scope", "team", "--usd", "1")
    assert wrong.code == 1
    assert "name: expected whose it is" in wrong.stderr
    assert call(tmp_path, "budget", "delete", identity).code == 0
    assert "spindle budget list" in call(tmp_path, "budget", "delete", identity).stderr
    limit = call(
        tmp_path, "limit", "create", "--scope", "user", "--name", "A@x", "--requests", "5", "--json"
    )
    identity = json.loads(limit.stdout)["id"]
    assert "a@x" in call(tmp_path, "limit", "list").stdout
    assert json.loads(call(tmp_path, "limit", "list", "--json").stdout)[0]["id"] == identity
    assert call(tmp_path, "limit", "delete", identity).code == 0
    assert "spindle limit list" in call(tmp_path, "limit", "delete", identity).stderr


def test_usage_by_command(tmp_path: Path) -> None:
    """As a table, as CSV, as JSON; a fault says what to do."""

    async def fill() -> None:
        store = await Store.open(url_of(tmp_path))
        rows: list[UsageRow] = [usage(number) for number in range(3)]
        await store.usage.add_many(rows)
        await store.close()

    anyio.run(fill)
    since = ("--since", "1970-01-01")
    assert "mock~echo" in call(tmp_path, "usage", *since).stdout
    (row,) = json.loads(call(tmp_path, "usage", "--by", "day", "--json", *since).stdout)
    assert (row["day"], row["calls"], row["total_tokens"]) == ("1970-01-01", 3, 21)
    lines = call(tmp_path, "usage", "--by", "token,user", "--csv", *since).stdout.splitlines()
    assert lines[0].startswith("token,user,calls,ok,failed")
    assert lines[1].startswith("tok,,3,3,0")
    assert call(tmp_path, "usage", "--by", "", "--json", "--since", "7d").stdout
    none = call(tmp_path, "usage", "--team", "red", "--until", "1d", "--json")
    assert json.loads(none.stdout) == []
    wrong = call(tmp_path, "usage", "--by", "colour")
    assert (wrong.code, "by: expected some of token" in wrong.stderr) == (1, True)
