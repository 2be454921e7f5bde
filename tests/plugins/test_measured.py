"""Processes of tests that run whole programs are not measured; those of others are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugins.measured import HANDED_ON, TESTS, runs_whole_programs

if TYPE_CHECKING:
    import pytest

SAYS = f"""
import os
import pytest
from tests.plugins import measured

pytest_plugins = ["tests.plugins.measured"]


@pytest.fixture(scope="module")
def whole(_measured):
    return os.environ.get("{HANDED_ON}")


def test_it(whole):
    assert whole == EXPECTED
"""


def test_only_folders_of_whole_programs_are_left_out() -> None:
    """By where the file is."""
    assert runs_whole_programs(TESTS / "sdk" / "test_sdks.py")
    assert not runs_whole_programs(TESTS / "core" / "test_core.py")
    assert not runs_whole_programs(TESTS / "sdk_of_ours" / "test_core.py")


def test_a_process_is_told_of_the_measuring_or_not(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the environment has it for what a test's fixtures start; afterwards it is as before."""
    monkeypatch.setenv(HANDED_ON, "so")
    monkeypatch.setattr("tests.plugins.measured.WHOLE_PROGRAMS", (pytester.path / "whole",))
    whole, other = pytester.mkdir("whole"), pytester.mkdir("other")
    (whole / "test_whole.py").write_text(SAYS.replace("EXPECTED", "None"))
    (other / "test_other.py").write_text(SAYS.replace("EXPECTED", "'so'"))
    ran = pytester.runpytest("-p", "no:cacheprovider", "whole", "other")
    ran.assert_outcomes(passed=2)
