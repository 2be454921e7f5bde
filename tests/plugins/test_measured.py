"""Tests of whole programs are not measured, nor are those that say so; all others are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.plugins.measured import HANDED_ON, TESTS, runs_whole_programs

if TYPE_CHECKING:
    import pytest

SAYS = f"""
import os
import sys
import threading
import pytest


@pytest.fixture(scope="module")
def whole():
    return os.environ.get("{HANDED_ON}"), sys.gettrace()


MARK
def test_it(whole):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(sys.gettrace()))
    thread.start()
    thread.join()
    handed_on, here = whole
    assert handed_on == HANDED_ON
    assert [bool(here), bool(sys.gettrace()), bool(seen[0])] == [TRACED] * 3
"""
CONFTEST = """
import sys
import threading


def pytest_sessionstart():
    sys.settrace(trace)
    threading.settrace(trace)


def pytest_sessionfinish():
    assert sys.gettrace() is trace, "measured as before"
    assert threading.gettrace() is trace
    sys.settrace(None)
    threading.settrace(None)


def trace(frame, event, argument):
    return None
"""


def test_only_folders_of_whole_programs_are_left_out() -> None:
    """By where the file is."""
    assert runs_whole_programs(TESTS / "sdk" / "test_sdks.py")
    assert not runs_whole_programs(TESTS / "core" / "test_core.py")
    assert not runs_whole_programs(TESTS / "sdk_of_ours" / "test_core.py")


def test_a_test_and_its_processes_are_measured_or_not(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test, its fixtures, their threads and processes; afterwards all is as before."""
    monkeypatch.setenv(HANDED_ON, "so")
    whole = pytester.mkdir("whole")
    pytester.makeconftest(CONFTEST)
    plugin = TESTS / "plugins" / "measured.py"
    pytester.makepyfile(
        measured=plugin.read_text().replace(
            "WHOLE_PROGRAMS: Final = ", f"WHOLE_PROGRAMS: Final = (Path({str(whole)!r}),) or "
        )
    )
    pytester.makeini("[pytest]\nmarkers = unmeasured\naddopts = --strict-markers -p measured\n")

    for folder, mark, handed_on, traced in (
        (whole, "", None, False),
        (pytester.mkdir("marked"), "@pytest.mark.unmeasured", "so", False),
        (pytester.mkdir("other"), "", "so", True),
    ):
        says = SAYS.replace("== HANDED_ON", f"== {handed_on!r}").replace("TRACED", str(traced))
        (folder / f"test_{folder.name}.py").write_text(says.replace("MARK", mark))

    ran = pytester.runpytest_subprocess("-p", "no:cacheprovider", "whole", "marked", "other")
    ran.assert_outcomes(passed=3)
    assert ran.ret == 0
