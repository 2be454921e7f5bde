"""What is made of the checks that the official suite writes down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.mcp_suite import NOTHING, exit_code_in, judged

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"id": "a", "status": "SUCCESS", "description": "A."}
SAID = {"id": "b", "status": "INFO", "description": "B."}
SKIPPED = {"id": "c", "status": "SKIPPED", "description": "C."}
WARNED = {"id": "d", "status": "WARNING", "description": "D.", "errorMessage": "Not so."}
FAILED = {"id": "e", "status": "FAILURE", "description": "E."}


@pytest.mark.parametrize(
    ("checks", "failed", "notes"),
    [
        ([GOOD, SAID], [], []),
        ([GOOD, FAILED, FAILED], ["e"], []),
        ([GOOD, SKIPPED, WARNED], [], ["c skipped: C.", "d warning: Not so."]),
        ([SAID, SKIPPED], [NOTHING], ["c skipped: C."]),
        ([SAID, WARNED], [NOTHING], ["d warning: Not so."]),
        ([], [NOTHING], []),
    ],
)
def test_a_scenario_passes_when_something_succeeded_and_nothing_failed(
    checks: list[dict[str, str]], failed: list[str], notes: list[str]
) -> None:
    """What was skipped, or only warned of, is told; alone it is no pass."""
    assert judged("server", checks) == (failed, notes)


def test_a_client_is_held_to_what_it_should_do() -> None:
    """Most of what the scenarios of scopes see is a warning."""
    assert judged("client", [GOOD, SKIPPED, WARNED]) == (["d"], ["c skipped: C."])


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("ended by None, expected None\nexit 0\n", 0),
        ("exit 1", 1),
        ("exit 0\nmore\n", None),
        ("its exit 0\n", None),
        ("", None),
    ],
)
def test_a_client_ends_as_its_last_line_says(tmp_path: Path, said: str, code: int | None) -> None:
    """One that was stopped, or broke, says nothing."""
    (tmp_path / "stdout.txt").write_text(said)
    assert exit_code_in(tmp_path) == code
