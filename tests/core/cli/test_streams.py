"""A command whose output goes nowhere ends in one line, not in a stack trace."""

from __future__ import annotations

import errno
import os
import sys
from typing import IO

import pytest

from spindle import cli


class Full:
    """A stream on a full disk."""

    def __init__(self, number: int = errno.ENOSPC) -> None:
        self.number = number

    def write(self, text: str) -> int:
        """Fail."""
        raise OSError(self.number, os.strerror(self.number))

    def flush(self) -> None:
        """Fail, as what was not written is tried again."""
        self.write("")


def without_descriptors(patch: pytest.MonkeyPatch, stream: IO[str] | Full | None) -> None:
    patch.setattr(sys, "argv", ["spindle", "--version"])
    patch.setattr(sys, "stdout", stream)


def test_a_full_disk_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_descriptors(monkeypatch, Full())

    with pytest.raises(SystemExit, match="1"):
        cli.main()

    sys.stdout.close()
    assert capsys.readouterr().err == "The output cannot be written: No space left on device.\n"


def test_another_failure_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    without_descriptors(monkeypatch, Full(errno.ENOENT))

    with pytest.raises(OSError, match="No such file"):
        cli.main()


def test_output_that_was_closed_before_the_start_is_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_descriptors(monkeypatch, None)
    monkeypatch.setattr(sys, "stderr", None)

    with pytest.raises(SystemExit, match="0"):
        cli.main()

    sys.stdout.close()
    sys.stderr.close()
