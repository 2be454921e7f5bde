"""Ends the process when a module blocks it or will not let it go.

A thread, because it must work while the event loop stands still. Nothing else here may end the
process from within.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


def end_process(sentence: str) -> None:
    """Say why on stderr and end the process at once."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
    os._exit(1)


@contextmanager
def watchdog(
    seconds: float, explain: Callable[[], str], end: Callable[[str], None] = end_process
) -> Generator[None]:
    """End the process with what `explain` says if the block is not left in time."""
    timer = threading.Timer(seconds, lambda: end(explain()))
    timer.daemon = True
    timer.start()

    try:
        yield
    finally:
        timer.cancel()
