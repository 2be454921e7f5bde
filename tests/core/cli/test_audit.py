"""`spindle audit`: reading, exporting and pruning on the store directly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.administrator import local_context
from spindle.audit import Audit, AuditEntry
from tests.core.cli.runner import run
from tests.core.store.opened import opened

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    async def fill() -> None:
        async with opened(tmp_path) as store:
            for number in range(4):
                entry = AuditEntry(action="users.create", target=f"user{number}", reason="why")
                await Audit(store).record(local_context(), entry)

    anyio.run(fill)
    return tmp_path


def listed(home: Path, *arguments: str) -> list[str]:
    ran = run("audit", "list", "--json", "--home", str(home), *arguments)
    assert ran.code == 0, ran.stderr
    return [entry["target"] for entry in json.loads(ran.stdout)]


def test_entries_are_listed_the_newest_first(home: Path) -> None:
    """As a table for people, as JSON for programs; narrowed by any filter."""
    shown = run("audit", "list", "--home", str(home)).stdout.splitlines()
    assert shown[0].split() == ["AT", "WHO", "ACTION", "TARGET", "DECISION", "REASON"]
    assert [line.split()[3] for line in shown[1:]] == ["user3", "user2", "user1", "user0"]
    assert listed(home, "--limit", "2") == ["user3", "user2"]
    assert listed(home, "--target", "user1", "--action", "users.*") == ["user1"]
    assert listed(home, "--decision", "denied") == []
    assert len(listed(home, "--since", "1h", "--until", "2100-01-01")) == 4
    assert listed(home, "--until", "1d") == []


def test_an_export_is_a_line_for_each_entry(home: Path) -> None:
    """The newest first."""
    lines = run("audit", "export", "--home", str(home), "--since", "0").stdout.splitlines()
    assert [json.loads(line)["target"] for line in lines] == ["user3", "user2", "user1", "user0"]


def test_a_pruning_is_an_entry_itself(home: Path) -> None:
    """By rows or days, or as configured."""
    pruned = run("audit", "prune", "--rows", "1", "--json", "--home", str(home))
    assert json.loads(pruned.stdout) == {"deleted": 3}
    assert listed(home) == ["audit", "user3"]
    assert run("audit", "prune", "--days", "1", "--home", str(home)).stdout == (
        "0 entries are deleted.\n"
    )


def test_what_is_no_time_is_refused(home: Path) -> None:
    """It says how to write one."""
    ran = run("audit", "list", "--since", "yesterday", "--home", str(home))
    assert (ran.code, "30d" in ran.stderr) == (1, True)
