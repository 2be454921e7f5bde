"""The limits on the length of files and functions."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.sizes import measure


def make_function(lines: int) -> str:
    return "def work() -> None:\n" + "    pass\n" * (lines - 1)


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        (make_function(60), []),
        (make_function(61), [False]),
        (make_function(81), [True]),
        ("x = 1\n" * 400, []),
        ("x = 1\n" * 401, [False]),
        ("x = 1\n" * 601, [True]),
    ],
)
def test_long_is_a_warning_and_very_long_a_failure(text: str, verdicts: list[bool]) -> None:
    """Each limit is the last length that is still allowed."""
    assert [is_failure for _, is_failure, _ in measure(Path("x.py"), text)] == verdicts
