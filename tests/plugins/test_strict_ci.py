"""The rule that CI leaves nothing out."""

from __future__ import annotations

import pytest

PLUGIN = ("-p", "tests.plugins.strict_ci", "-p", "no:cacheprovider")
SKIPS = """
    import pytest

    def test_leaves():
        pytest.skip("no such program here")

    @pytest.mark.skip(reason="not today")
    def test_is_left():
        pass

    @pytest.mark.xfail(strict=True)
    def test_is_known_to_fail():
        assert False
"""


def test_a_skip_is_a_failure_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways to skip a test fail with their reason; an expected failure stays expected."""
    monkeypatch.setenv("SPINDLE_CI", "1")
    pytester.makepyfile(SKIPS)
    result = pytester.runpytest(*PLUGIN)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(failed=1, errors=1, xfailed=1)
    printed = result.stdout.str()
    assert "no such program here" in printed
    assert "not today" in printed


def test_a_skip_stays_a_skip_elsewhere(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that lacks a program may run the rest."""
    monkeypatch.delenv("SPINDLE_CI", raising=False)
    pytester.makepyfile(SKIPS)
    pytester.runpytest(*PLUGIN).assert_outcomes(skipped=2, xfailed=1)


def test_a_skipped_file_is_an_error_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that skips itself while it is collected stops the run."""
    monkeypatch.setenv("SPINDLE_CI", "1")
    pytester.makepyfile("import pytest; pytest.importorskip('no_such_library')")
    result = pytester.runpytest(*PLUGIN)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*no_such_library*"])


def test_a_deselection_is_an_error_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI counts the whole suite, so `-k` and `-m` are refused."""
    monkeypatch.setenv("SPINDLE_CI", "1")
    pytester.makepyfile("def test_one(): pass\ndef test_two(): pass")
    assert pytester.runpytest(*PLUGIN, "-k", "one").ret == pytest.ExitCode.USAGE_ERROR
