"""The closure of requirements and tests at the end of a whole run."""

from __future__ import annotations

import pytest

PLUGIN = ("-p", "tests.plugins.traceability", "-p", "no:cacheprovider")
INI = """
    [pytest]
    testpaths = tests
    markers = requirement(id)
"""
REQUIREMENTS = """
[page]
001-done = { due = "skeleton", text = "is tested" }
001-later = { due = "chat", planned = true, text = "is not" }
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A suite of one file whose one required id is proved by one of two tests."""
    pytester.makeini(INI)
    folder = pytester.mkdir("tests")
    (folder / "requirements.toml").write_text(REQUIREMENTS)
    (folder / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.requirement('001-done')\n"
        "def test_proof(): pass\n"
        "def test_other(): pass\n"
    )
    return pytester


def test_a_whole_run_with_every_proof_passes(suite: pytest.Pytester) -> None:
    """Planned ids need no test."""
    result = suite.runpytest(*PLUGIN)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*requirements without a test*")


def test_a_whole_run_without_a_proof_fails(suite: pytest.Pytester) -> None:
    """A proof that is skipped proves nothing."""
    path = suite.path / "tests/test_it.py"
    path.write_text(path.read_text().replace("test_proof(): pass", "test_proof(): pytest.skip()"))
    result = suite.runpytest(*PLUGIN)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*requirements without a test that passed*", "001-done"])


def test_proofs_of_several_workers_are_put_together(suite: pytest.Pytester) -> None:
    """The workers run the tests, the controller keeps the ledger."""
    assert suite.runpytest(*PLUGIN, "-n", "2").ret == pytest.ExitCode.OK


@pytest.mark.parametrize("selection", ["-kother", "tests/test_it.py::test_other"])
def test_a_run_of_a_part_asks_for_nothing(suite: pytest.Pytester, selection: str) -> None:
    """Whoever runs one test is not told about all the others."""
    assert suite.runpytest(*PLUGIN, selection).ret == pytest.ExitCode.OK
