"""Prints how many cases each operation of the OpenAPI document was asked, and what it answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PROPERTY = "openapi-cases"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = sorted(
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for key, value in getattr(report, "user_properties", ())
        if key == PROPERTY and getattr(report, "when", "") == "call"
    )

    if rows:
        terminalreporter.section("operations of the OpenAPI document, cases, answers")

    for row in rows:
        terminalreporter.write_line(row)

    if rows:
        cases = sum(int(row.split("  ")[1].split()[0]) for row in rows)
        terminalreporter.write_line(f"{len(rows)} operations, {cases} cases")
