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
CLIENT_EXIT = "client-exit"
"""A check of ours beside the suite's: its client has to end as the scenario does."""
FAILED = {"server": ("FAILURE",), "client": ("FAILURE", "WARNING")}
"""What counts as failed; a warning is what a client should do."""
FAILING = frozenset({"request-metadata"})
"""Its server lists no tool and its client calls one, which is unknown through a gateway."""
REVISIONS = ("2025-11-25", "2026-07-28")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One side of one revision: how many required scenarios pass, and what does not."""

    required: int
    left_out: int
    """Of those, how many were not run."""
    passed: int
    failures: tuple[str, ...]
    """`scenario:check` of every check that failed."""


def required_of(side: str, revision: str) -> list[str]:
    """Return the scenarios a revision requires of a side: server or client."""
    listed = subprocess.run(
        [*NPX, "list", f"--{side}", "--requirements", revision],
        check=True, capture_output=True, text=True, cwd=CACHE,
    ).stdout  # fmt: skip
    names: list[str] = []
    is_wanted = False

    for line in listed.splitlines():
        if line.startswith(f"{side.capitalize()} scenarios"):
            is_wanted = True
        elif not line.startswith("  - "):
            is_wanted = is_wanted and not line.strip()
        elif is_wanted:
            names.append(line.removeprefix("  - ").split()[0])

    if not names:
        raise SystemExit(f"The suite names no required scenario for {revision}:\n{listed}")

    return names


def run_suite(
    side: str,
    arguments: Sequence[str],
    revision: str,
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    left_out: str = "\0",
) -> Verdict:
    """Run the required scenarios of a side, but those whose names begin with `left_out`."""
    results, log = folder / f"{side}-{revision}", folder / f"suite-{side}-{revision}.log"

    with log.open("wb") as output:
        # Its exit code knows nothing of our baseline; what it found is read below.
        subprocess.run(
            [*NPX, side, *arguments, "--requirements", revision, "-o", str(results)],
            check=False, cwd=CACHE, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip

    required = required_of(side, revision)
    wanted = [scenario for scenario in required if not scenario.startswith(left_out)]
    failures: list[str] = []
    passed = 0

    for scenario in wanted:
        found = [path for path in results.rglob("*") if is_of(side, scenario, path, results)]

        if not found:
            raise SystemExit(f"{scenario} did not run:\n{log.read_text(errors='replace')}")

        checks = json.loads((found[0] / "checks.json").read_text())
        failed = [check["id"] for check in checks if check["status"] in FAILED[side]]

        if side == "client" and exit_code_in(found[0]) != int(scenario in FAILING):
            failed.append(CLIENT_EXIT)

        failures += [f"{scenario}:{check}" for check in dict.fromkeys(failed)]
        passed += not failed

    return Verdict(len(required), len(required) - len(wanted), passed, tuple(failures))


def exit_code_in(folder: Path) -> int | None:
    """Return what the client of a scenario says last, for the suite keeps no exit code."""
    said = re.search(r"^exit (\d+)$\s*\Z", (folder / "stdout.txt").read_text(), re.MULTILINE)
    return None if said is None else int(said[1])


def is_of(side: str, scenario: str, path: Path, results: Path) -> bool:
    """Tell whether a folder of results, `[server-]<scenario>-<time>`, is a scenario's."""
    prefix = "server-" if side == "server" else ""
    name = re.escape(prefix + scenario)
    folder = path.relative_to(results).as_posix()
    return re.fullmatch(rf"{name}-\d{{4}}-\d\d-\d\dT[^/]*", folder) is not None
