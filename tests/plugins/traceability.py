"""A whole run of the suite fails when a requirement that is not planned has no test that passed.

Only what passed in this run counts, so a test that is skipped or never collected proves nothing. A
run of a part of the suite is left alone: tests/test_requirements.py checks what can be read there.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROPERTY = "requirement"
REQUIREMENTS = "requirements.toml"


def read_requirements(path: Path) -> dict[str, dict[str, object]]:
    """Return the entry of each id, whatever document it comes from."""
    documents = tomllib.loads(path.read_text())
    return {name: entry for document in documents.values() for name, entry in document.items()}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for mark in item.iter_markers("requirement"):
            item.user_properties.extend((PROPERTY, name) for name in mark.args)


class Ledger:
    """The ids whose tests passed; with several workers, their controller keeps it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._passed: set[str] = set()
        self._is_partial = False
        self._missing: list[str] = []

    def pytest_deselected(self) -> None:
        self._is_partial = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._passed.update(
                str(name) for key, name in report.user_properties if key == PROPERTY
            )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        path = self._config.rootpath / "tests" / REQUIREMENTS
        whole = self._config.args_source is pytest.Config.ArgsSource.TESTPATHS

        if whole and not self._is_partial and path.exists() and not session.testsfailed:
            required = read_requirements(path)
            self._missing = sorted(
                name
                for name, entry in required.items()
                if not entry.get("planned") and name not in self._passed
            )

        if self._missing and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._missing:
            terminalreporter.section("requirements without a test that passed", red=True)

        for name in self._missing:
            terminalreporter.write_line(name)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(Ledger(config), "requirement-ledger")
