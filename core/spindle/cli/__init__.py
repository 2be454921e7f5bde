"""The command line. Importing it imports no command."""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

_UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def main() -> None:
    """Run the command line; the entry point of `spindle`."""
    _open_streams()

    from spindle.cli.app import app

    try:
        try:
            app(prog_name="spindle")
        finally:
            sys.stdout.flush()
    except OSError as exc:
        if exc.errno not in _UNWRITABLE:
            raise

        print(f"The output cannot be written: {os.strerror(exc.errno)}.", file=sys.stderr)
        # What is left in the buffer would fail once more, at the interpreter's end.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        sys.exit(1)


def _open_streams() -> None:
    # A descriptor that was closed before the start is None here; what is written is for nobody.
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115

    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
