"""With SPINDLE_CI=1 nothing is left out silently: a skip is a failure, and so is a deselection."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


def is_strict() -> bool:
    return os.environ.get("SPINDLE_CI") == "1"


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that gives the skip's own reason; an expected failure stays."""
    if report.skipped and is_strict() and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"Nothing may be skipped in CI. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    return report


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    if is_strict() and items:
        raise pytest.UsageError(f"Nothing may be deselected in CI: {items[0].nodeid}, ...")
