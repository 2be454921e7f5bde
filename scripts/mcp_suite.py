"""The official MCP conformance suite: which one, what it requires, and what it found."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "mcp-everything"
SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
NPX = ("npx", "--yes", "-p", "node@22", "-p", SUITE, "conformance")
REVISIONS = ("2025-11-25", "2026-07-28")


UNSCORED = re.compile(r"    - (\S+) \[(client|server)\]")
EXTENSIONS = (
    *("tasks-", "sep-2640-"),
    *("auth/dpop", "auth/enterprise-managed-authorization", "auth/wif-jwt-bearer"),
)
"""How scenarios begin that test extensions which the gateway does not have."""
NOTHING = "nothing was checked"
CLIENT_EXIT = "client-exit"
"""A check of ours beside the suite's: its client has to end as the scenario does."""
FAILED = {"server": {"FAILURE"}, "client": {"FAILURE", "WARNING"}}
"""What counts as failed; a warning is what a client should do."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One side of one revision: how many scenarios pass, and what does not."""

    required: int
    left_out: int
    """Of those, how many were not run."""
    passed: int
    unscored: int
    """Scenarios that the revision does not require, those of extensions left out."""
    unscored_passed: int
    failures: tuple[str, ...]
    """`scenario:check` of every check that failed."""
    notes: tuple[str, ...]
    """What was neither checked nor failed, in sentences: skipped checks, and warnings."""


@dataclass(frozen=True, slots=True)
class Scenarios:
    """The names of a side's scenarios in one revision."""

    required: tuple[str, ...]
    unscored: tuple[str, ...]


def scenarios_of(side: str, revision: str) -> Scenarios:
    """Return the scenarios of a side, server or client."""
    listed = subprocess.run(
        [*NPX, "list", f"--{side}", "--requirements", revision],
        check=True, capture_output=True, text=True, cwd=CACHE,
    ).stdout  # fmt: skip
    names: list[str] = []
    unscored: list[str] = []
    is_wanted = False

    for line in listed.splitlines():
        found = UNSCORED.match(line)

        if found is not None and found[2] == side and not found[1].startswith(EXTENSIONS):
            unscored.append(found[1])
        elif line.startswith(f"{side.capitalize()} scenarios"):
            is_wanted = True
        elif not line.startswith("  - "):
            is_wanted = is_wanted and not line.strip()
        elif is_wanted:
            names.append(line.removeprefix("  - ").split()[0])

    if not names:
        raise SystemExit(f"The suite names no required scenario for {revision}:\n{listed}")

    return Scenarios(tuple(names), tuple(unscored))


def run_suite(
    side: str,
    arguments: Sequence[str],
    revision: str,
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    left_out: str = "\0",
) -> Verdict:
    """Run the scenarios of a side, but those whose names begin with `left_out`."""
    results, log = folder / f"{side}-{revision}", folder / f"suite-{side}-{revision}.log"

    with log.open("wb") as output:
        # Its exit code knows nothing of our baseline; what it found is read below.
        subprocess.run(
            [*NPX, side, *arguments, "--requirements", revision, "-o", str(results)],
            check=False, cwd=CACHE, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip

    scenarios = scenarios_of(side, revision)
    failures: list[str] = []
    notes: list[str] = []

    def passed(names: Sequence[str]) -> int:
        """Return how many of these scenarios pass, and note what the others lack."""
        count = 0

        for scenario in names:
            written = results.glob("**/checks.json")
            found = sorted(path for path in written if is_of(side, scenario, path))

            if not found:
                raise SystemExit(f"{scenario} did not run:\n{log.read_text(errors='replace')}")

            failed, noted = judged(side, json.loads(found[-1].read_text()))

            if side == "client" and exit_code_in(found[-1].parent) != 0:
                failed.append(CLIENT_EXIT)

            failures.extend(f"{scenario}:{check}" for check in failed)
            notes.extend(f"{scenario}: {note}" for note in noted)
            count += not failed

        return count

    wanted = [name for name in scenarios.required if not name.startswith(left_out)]
    others = [name for name in scenarios.unscored if not name.startswith(left_out)]
    return Verdict(
        required=len(scenarios.required),
        left_out=len(scenarios.required) - len(wanted),
        passed=passed(wanted),
        unscored=len(others),
        unscored_passed=passed(others),
        failures=tuple(failures),
        notes=tuple(notes),
    )


def judged(side: str, checks: Sequence[Mapping[str, str]]) -> tuple[list[str], list[str]]:
    """Return which checks of a scenario failed, and what is to be said of those that did not run.

    A scenario in which nothing succeeded has checked nothing: it did not pass.
    """
    failed = [check["id"] for check in checks if check["status"] in FAILED[side]]
    notes = [
        f"{check['id']} {check['status'].lower()}: "
        + check.get("errorMessage", check["description"])
        for check in checks
        if check["status"] in {"SKIPPED", "WARNING"} - FAILED[side]
    ]

    if not failed and all(check["status"] != "SUCCESS" for check in checks):
        failed.append(NOTHING)

    return list(dict.fromkeys(failed)), list(dict.fromkeys(notes))


def exit_code_in(folder: Path) -> int | None:
    """Return what the client of a scenario says last, for the suite keeps no exit code."""
    said = re.search(r"^exit (\d+)$\s*\Z", (folder / "stdout.txt").read_text(), re.MULTILINE)
    return None if said is None else int(said[1])


def is_of(side: str, scenario: str, checks: Path) -> bool:
    """Tell whether a file of results, in a folder `[server-]<scenario>-<time>`, is a scenario's."""
    prefix = "server-" if side == "server" else ""
    name = re.escape(prefix + scenario)
    return re.search(rf"/{name}-\d{{4}}-\d\d-\d\dT[^/]*/checks\.json$", str(checks)) is not None
