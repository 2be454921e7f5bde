"""The log file: rotated while it is written, bounded by number and age, never in the way."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import resource
import stat
from typing import TYPE_CHECKING

import pytest

from spindle.telemetry.log_file import FileLimits, LogFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.requirement("001-logging-config")
LIMITS = FileLimits(max_bytes=100, max_backups=2, max_age_days=28)


@pytest.fixture
def console() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def build(tmp_path: Path, console: io.StringIO) -> Iterator[Callable[..., LogFile]]:
    made: list[LogFile] = []

    def make(limits: FileLimits = LIMITS, path: Path = tmp_path / "logs/main.log") -> LogFile:
        made.append(LogFile(path, limits, logging.StreamHandler(console)))
        return made[-1]

    yield make

    for handler in made:
        handler.close()


def write(handler: LogFile, *lines: str) -> None:
    for line in lines:
        handler.emit(logging.LogRecord("x", logging.INFO, "", 0, line, None, None))


def files(path: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted((path / "logs").iterdir())}


def test_a_file_at_its_size_is_set_aside_and_the_oldest_goes(
    tmp_path: Path, build: Callable[..., LogFile]
) -> None:
    """Numbered, the newest first, so many and no more; all of them private; no line is cut."""
    handler = build()
    write(handler, *(f"{number}" * 60 for number in range(6)))

    assert files(tmp_path) == {
        "main.log": "5" * 60 + "\n",
        "main.log.1": "4" * 60 + "\n",
        "main.log.2": "3" * 60 + "\n",
    }
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "logs").iterdir()}
    assert modes == {0o600}


def test_without_backups_the_file_begins_anew(
    tmp_path: Path, build: Callable[..., LogFile]
) -> None:
    """It does not grow for ever."""
    write(build(FileLimits(max_bytes=100, max_backups=0, max_age_days=1)), "a" * 60, "b" * 60)
    assert files(tmp_path) == {"main.log": "b" * 60 + "\n"}


def test_a_line_longer_than_the_limit_is_written_whole(
    tmp_path: Path, build: Callable[..., LogFile]
) -> None:
    """In a file of its own."""
    write(build(), "a", "b" * 500, "c")
    assert [len(text) for text in files(tmp_path).values()] == [2, 501, 2]


def test_old_ones_go_while_the_process_runs(
    tmp_path: Path, build: Callable[..., LogFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By age and by number, hourly; what is not ours stays."""
    handler = build()
    old, young, many = (tmp_path / f"logs/main.log.{name}" for name in ("1", "2", "3"))
    other = tmp_path / "logs/main.log.1-of-mine"

    for file in (old, young, many, other):
        file.touch()

    for file in (old, other):
        os.utime(file, (0, 0))

    write(handler, "within the hour")
    assert old.exists()
    monkeypatch.setattr("spindle.telemetry.log_file._TIDY_SECONDS", -1.0)
    write(handler, "an hour later")
    assert [file.exists() for file in (old, young, many, other)] == [False, True, False, True]


def test_a_full_disk_is_said_once_and_so_is_its_end(
    tmp_path: Path, build: Callable[..., LogFile], console: io.StringIO
) -> None:
    """Whoever logs goes on; the lines in between are lost and counted."""
    path = tmp_path / "logs/main.log"
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    handler = build()
    write(handler, "one", "two", "three")
    assert console.getvalue().count("No space left on device") == 1
    path.unlink()
    write(handler, "four", "five")

    assert files(tmp_path) == {"main.log": "four\nfive\n"}
    assert console.getvalue().count("written again; 3 lines are lost") == 1
    assert len(console.getvalue().splitlines()) == 2


def test_a_line_the_disk_cut_off_does_not_swallow_the_next(
    tmp_path: Path, build: Callable[..., LogFile], console: io.StringIO
) -> None:
    """The rest of the disk takes a part of a line; then there is room again."""
    handler = build()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))

    try:
        write(handler, "a long line", "another")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    write(handler, "whole")
    assert files(tmp_path) == {"main.log": "a lon\nwhole\n"}
    assert "2 lines are lost" in console.getvalue()


def test_two_processes_write_one_file_and_lose_no_line(
    tmp_path: Path, build: Callable[..., LogFile]
) -> None:
    """One of them sets it aside, the other one follows."""
    limits = FileLimits(max_bytes=200, max_backups=50, max_age_days=1)
    one, other = build(limits), build(limits)
    lines = [f"{number:060}" for number in range(40)]

    for first, second in zip(lines[::2], lines[1::2], strict=True):
        write(one, first)
        write(other, second)

    written = "".join(files(tmp_path).values()).split()
    assert sorted(written) == lines
    assert len(files(tmp_path)) == 14


def test_who_waited_for_another_process_does_not_set_the_new_file_aside(
    tmp_path: Path, build: Callable[..., LogFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file it found too big is another one's backup by then."""
    one, other = build(), build()
    write(one, "a" * 80)
    real, waited = fcntl.flock, list[int]()

    def late(descriptor: int, operation: int) -> None:
        waited.append(descriptor)

        if len(waited) == 1:
            write(other, "b" * 50)

        real(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", late)
    write(one, "c" * 30)
    assert files(tmp_path) == {
        "main.log": "b" * 50 + "\n" + "c" * 30 + "\n",
        "main.log.1": "a" * 80 + "\n",
    }


def test_a_file_that_cannot_be_opened_is_an_error_of_the_start(
    tmp_path: Path, build: Callable[..., LogFile]
) -> None:
    """It is the operator's to know before anything runs."""
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="file"):
        build(path=tmp_path / "file/main.log")


def test_a_backup_that_goes_in_between_is_no_error(
    tmp_path: Path, build: Callable[..., LogFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process tidies as well."""
    handler = build()
    gone = tmp_path / "logs/main.log.1"
    monkeypatch.setattr(handler, "_backups", lambda: [(1, gone)])
    monkeypatch.setattr("spindle.telemetry.log_file._TIDY_SECONDS", -1.0)
    write(handler, "line")
    assert files(tmp_path) == {"main.log": "line\n"}
