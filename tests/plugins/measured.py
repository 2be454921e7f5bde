"""Which tests are measured when coverage is: not those that run again what others run.

Tests of whole programs are not, with the processes they start: a traced gateway takes twice the
time for each request. Nor are tests marked `unmeasured`, in their own process: a tracer makes what
they repeat some thousand times last more than twice as long. What all of these run, others run
while it is measured; the floors of coverage would tell if they did not.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
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
MARK: Final = "unmeasured"


def runs_whole_programs(path: Path) -> bool:
    """Tell whether a file's tests are of that kind."""
    return any(path.is_relative_to(folder) for folder in WHOLE_PROGRAMS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keep a test and its fixtures from being measured, and their processes where it says so."""
    if runs_whole_programs(item.path):
        with _untraced(), _not_handed_on():
            return (yield)

    if item.get_closest_marker(MARK):
        with _untraced():
            return (yield)

    return (yield)


@contextmanager
def _untraced() -> Generator[None]:
    here, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)

    try:
        yield
    finally:
        threading.settrace(threads)
        sys.settrace(here)


@contextmanager
def _not_handed_on() -> Generator[None]:
    handed_on = os.environ.pop(HANDED_ON, None)

    try:
        yield
    finally:
        if handed_on is not None:
            os.environ[HANDED_ON] = handed_on
