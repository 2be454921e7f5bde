"""Which tests' processes are measured when coverage is: not those that run whole programs.

A traced gateway takes twice the time for each request, and what such tests run of it the others
run in the test's own process or in processes that are measured.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

TESTS: Final = Path(__file__).resolve().parent.parent
WHOLE_PROGRAMS: Final = tuple(
    TESTS / name for name in ("clients", "docs", "journeys", "openapi", "sdk")
)
HANDED_ON: Final = "COVERAGE_PROCESS_CONFIG"
"""How coverage tells the processes that a measured one starts."""


def runs_whole_programs(path: Path) -> bool:
    """Tell whether a file's tests are of that kind."""
    return any(path.is_relative_to(folder) for folder in WHOLE_PROGRAMS)


@pytest.fixture(scope="module", autouse=True)
def _measured(request: pytest.FixtureRequest) -> Generator[None]:
    """Keep the processes of such a file's tests from being measured."""
    handed_on = os.environ.get(HANDED_ON)

    if handed_on is None or not runs_whole_programs(request.path):
        yield
        return

    del os.environ[HANDED_ON]

    try:
        yield
    finally:
        os.environ[HANDED_ON] = handed_on
