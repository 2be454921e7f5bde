"""The log file: private, set aside at its size, its old ones removed by number and by age.

Several processes may write to one file: lines are appended whole, one process at a time sets the
file aside, and the others follow. A file that cannot be written (a full disk) stops nothing: that
is said once on the console, and once more when lines go to the file again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

_DAY = 86_400
_TIDY_SECONDS = 3600.0
_LOGGER = "spindle.logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLimits:
    """What a log file and those set aside may come to."""

    max_bytes: int
    max_backups: int
    """`FILE.1` is the newest; 0 keeps none."""
    max_age_days: int
    """Of those set aside, from their last line."""


class LogFile(logging.Handler):
    """Writes lines to a file, and to the console what becomes of the file."""

    def __init__(self, path: Path, limits: FileLimits, console: logging.Handler) -> None:
        """Open the file.

        Raises:
            OSError: It cannot be written.
        """
        super().__init__()
        self._path = path
        self._limits = limits
        self._console = console
        self._descriptor: int | None = None
        self._is_torn = False
        self._lost = 0
        self._tidied = 0.0
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._open()
        self._tidy()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; a failure is kept from whoever logs."""
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")

        try:
            self._write(line)
        except OSError as exc:
            self._lost += 1

            if self._lost == 1:
                self._say(logging.ERROR, f"the log file cannot be written: {exc.strerror}")

            return

        if self._lost:
            lost, self._lost = self._lost, 0
            self._say(logging.WARNING, f"the log file is written again; {lost} lines are lost")

    def close(self) -> None:
        """Close the file."""
        self._drop()
        super().close()

    def _write(self, line: bytes) -> None:
        size = self._follow()

        if size and size + len(line) > self._limits.max_bytes:
            self._set_aside(len(line))

        if time.monotonic() - self._tidied > _TIDY_SECONDS:
            self._tidy()

        descriptor = self._open()
        # What a full disk cut off must not swallow the next line.
        data = b"\n" + line if self._is_torn else line
        self._is_torn = os.write(descriptor, data) < len(data)

        if self._is_torn:
            raise OSError(None, "it took a part of a line only")

    def _follow(self) -> int:
        """Open the file anew if somebody set it aside; return its size."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._drop()
            return 0

        if self._descriptor is not None and not os.path.samestat(found, os.fstat(self._descriptor)):
            self._drop()

        return found.st_size

    def _set_aside(self, more: int) -> None:
        with self._alone():
            # Another process may have done it while this one waited.
            if self._follow() + more <= self._limits.max_bytes:
                return

            self._drop()
            backups = sorted(self._backups(), reverse=True)

            for number, path in backups:
                if number >= self._limits.max_backups:
                    path.unlink(missing_ok=True)
                else:
                    path.rename(self._numbered(number + 1))

            if self._limits.max_backups:
                self._path.rename(self._numbered(1))
            else:
                self._path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Remove those set aside that are too many or too old."""
        self._tidied = time.monotonic()
        oldest = time.time() - self._limits.max_age_days * _DAY

        for number, path in list(self._backups()):
            try:
                if number > self._limits.max_backups or path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue

    def _backups(self) -> Iterator[tuple[int, Path]]:
        form = re.compile(re.escape(self._path.name) + r"\.(\d{1,6})")

        for path in self._path.parent.iterdir():
            found = form.fullmatch(path.name)

            if found is not None:
                yield int(found.group(1)), path

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    @contextmanager
    def _alone(self) -> Generator[None]:
        lock = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = os.open(self._path, _OPEN, 0o600)

        return self._descriptor

    def _drop(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _say(self, level: int, message: str) -> None:
        # Straight to the console: by the logger it would come back here.
        record = logging.LogRecord(
            _LOGGER, level, __file__, 0, f"{message} ({self._path})", None, None
        )
        self._console.handle(record)


_OPEN = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
