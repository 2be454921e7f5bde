"""Prints how many cases each operation of the OpenAPI document was asked, and what it answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PROPERTY = "openapi-cases"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = sorted(
        (str(label), int(cases), str(answers))
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for key, value in report.user_properties
        if key == PROPERTY
        for label, cases, answers in [value]
    )

    if not rows:
        return

    terminalreporter.section(
        "operations of the OpenAPI document: cases, and how often which answer"
    )

    for label, cases, answers in rows:
        terminalreporter.write_line(f"{label:64} {cases:4}  {answers}")

    terminalreporter.write_line(f"{len(rows)} operations, {sum(row[1] for row in rows)} cases")
