"""The end of a process that cannot end itself."""

from __future__ import annotations

import subprocess
import sys
import threading

from spindle.watchdog import watchdog


def test_a_block_that_is_left_in_time_ends_nothing() -> None:
    """The timer goes with the block."""
    before = threading.active_count()

    with watchdog(60, lambda: "late", _unreached):
        pass

    while threading.active_count() > before:
        pass


def test_a_block_that_is_not_left_in_time_is_explained() -> None:
    """While the block still stands."""
    ended = threading.Event()
    said: list[str] = []

    def end(sentence: str) -> None:
        said.append(sentence)
        ended.set()

    with watchdog(0.01, lambda: "module x: hangs", end):
        assert ended.wait(10)

    assert said == ["module x: hangs"]


def test_a_process_is_ended_with_one_line_and_exit_code_1() -> None:
    """Whatever its main thread does."""
    code = (
        "import time\nfrom spindle.watchdog import watchdog\n"
        "with watchdog(0.05, lambda: 'module x: hangs'):\n    time.sleep(600)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "module x: hangs\n")


def _unreached(sentence: str) -> None:
    raise NotImplementedError
