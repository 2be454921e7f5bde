"""Becomes the program of a gateway: bounds itself, ties its life to its parent's, then executes.

Run by its path, apart from the packages around it, so that it starts fast and imports nothing of
theirs. Its one argument is JSON, see `Order`; the environment it is given is the program's.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from typing import NoReturn

CANNOT_START = 127
"""Exit status when there is no such program, folder or bound."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


class Order(TypedDict):
    """What to become."""

    command: list[str]
    directory: str
    parent: int
    """Process id of whoever started this; 0 when its end does not matter."""
    limits: dict[str, int]
    """By the names of `resource`: RLIMIT_AS, …"""


def main(argument: str) -> NoReturn:
    """Carry out an order; does not return."""
    order: Order = json.loads(argument)
    command = order["command"]

    try:
        _tie_to_parent(order["parent"])
        _set_limits(order["limits"])
        _restore_signals()
        os.chdir(order["directory"])
        os.execvp(command[0], command)
    except (OSError, ValueError) as exc:
        # An argument may be secret, the name of the program is not.
        sys.stderr.write(f"spindle: {command[0]!r} cannot be started: {exc}\n")
        sys.stderr.flush()

    os._exit(CANNOT_START)


def _tie_to_parent(parent: int) -> None:
    if not sys.platform.startswith("linux"):
        return

    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    # A program that gained privileges would be out of reach of the signals that end it.
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    if parent and os.getppid() != parent:
        # It was gone before it could be heard of.
        os._exit(CANNOT_START)


def _set_limits(limits: dict[str, int]) -> None:
    for name, wanted in limits.items():
        which = getattr(resource, name)
        _, most = resource.getrlimit(which)

        if most != resource.RLIM_INFINITY:
            wanted = min(wanted, most)

        resource.setrlimit(which, (wanted, wanted))


def _restore_signals() -> None:
    # The interpreter ignores some, and what is ignored or blocked stays so in the next program.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)

    signal.pthread_sigmask(signal.SIG_SETMASK, [])


if __name__ == "__main__":
    main(sys.argv[1])
