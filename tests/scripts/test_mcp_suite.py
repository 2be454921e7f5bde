"""What is made of the checks that the official suite writes down."""

from __future__ import annotations

import pytest

from scripts.mcp_suite import NOTHING, judged

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


def test_what_a_client_is_warned_of_is_a_fault() -> None:
    """So the suite has it: a client that only warns does not pass."""
    assert judged("client", [GOOD, WARNED])[0] == ["d"]
    assert judged("client", [GOOD, SKIPPED])[0] == []
