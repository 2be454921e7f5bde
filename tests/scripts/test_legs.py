"""Legs run one after another or together; each gets its line, and one that fails fails the run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/legs.sh"
MAKEFILE = """
fine:
\t@echo fine says so
broken:
\t@sleep 0.3; echo broken says so; exit 3
# Each waits for what the other makes: alone, neither ends well.
here:
\t@touch here; for n in $$(seq 100); do [ -e there ] && exit 0; sleep 0.1; done; exit 1
there:
\t@touch there; for n in $$(seq 100); do [ -e here ] && exit 0; sleep 0.1; done; exit 1
.PHONY: here there
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a Makefile and the script."""
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    return tmp_path


def run(project: Path, *legs: str) -> tuple[int, list[str], str]:
    """Return the exit code, the legs of the summary with their verdicts, and all that was said."""
    ran = subprocess.run(
        ["sh", "scripts/legs.sh", *legs], cwd=project, capture_output=True, text=True
    )
    lines = re.findall(r"^(\w+) +\d+ s  (\w+)$", ran.stdout, re.MULTILINE)
    return ran.returncode, [" ".join(line) for line in lines], ran.stdout


def test_legs_run_one_after_another_even_when_one_fails(project: Path) -> None:
    """The summary names each with its verdict, and the run fails."""
    code, summary, said = run(project, "broken", "fine")
    assert (code, summary) == (1, ["broken FAILED", "fine ok"])
    assert said.index("broken says so") < said.index("fine says so")


def test_legs_joined_by_a_plus_run_at_the_same_time(project: Path) -> None:
    """These two wait for each other."""
    assert run(project, "here+there", "fine")[:2] == (0, ["here ok", "there ok", "fine ok"])


def test_what_a_leg_says_beside_another_comes_in_its_turn(project: Path) -> None:
    """Under its own heading; when it fails, the run fails."""
    code, summary, said = run(project, "fine+broken", "fine")
    assert (code, summary) == (1, ["fine ok", "broken FAILED", "fine ok"])
    assert [
        line for line in said.splitlines() if line.startswith(("== ", "fine s", "broken s"))
    ] == [
        *("== fine", "fine says so", "== broken", "broken says so", "== fine", "fine says so"),
    ]
