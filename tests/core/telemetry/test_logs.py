"""Logging: one format, one redaction, whoever logs."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
from typing import TYPE_CHECKING

import pytest
import structlog

from spindle.config.sections import LoggerSettings
from spindle.redaction import Redactor
from spindle.telemetry.logs import configure_logging
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CANARY = "canary-value-0123456789"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers = []
    yield

    for handler in root.handlers:
        handler.close()

    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def set_up(console: io.StringIO, home: Path, settings: LoggerSettings | None = None) -> None:
    redactor = Redactor()
    redactor.register(Secret(CANARY))
    configure_logging(settings or LoggerSettings(), home=home, console=console, redactor=redactor)


def entries(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.requirement("002-10-logging")
def test_lines_are_json_when_nobody_watches(tmp_path: Path) -> None:
    """One object a line, with time, level, logger and fields."""
    console = io.StringIO()
    set_up(console, tmp_path)
    structlog.get_logger("spindle.test").info("started", port=8080)

    (entry,) = entries(console.getvalue())
    assert entry["event"] == "started"
    assert entry["port"] == 8080
    assert entry["level"] == "info"
    assert entry["logger"] == "spindle.test"
    assert str(entry["timestamp"]).endswith("Z")


def test_lines_are_readable_on_a_terminal(tmp_path: Path) -> None:
    """A person sees no JSON."""
    console = Terminal()
    set_up(console, tmp_path)
    structlog.get_logger("spindle.test").info("started", port=8080)

    assert "started" in console.getvalue()
    assert "port=8080" in console.getvalue()
    assert "{" not in console.getvalue()


def fail() -> None:
    raise ValueError(f"upstream said {CANARY}")


@pytest.mark.requirement("002-10-logging")
@pytest.mark.parametrize("console", [io.StringIO(), Terminal()])
def test_no_log_line_shows_a_secret(tmp_path: Path, console: io.StringIO) -> None:
    """Events, fields, tracebacks, ours and other libraries', on the console and in the file."""
    set_up(console, tmp_path, LoggerSettings(file="logs/main.log"))
    ours, theirs = structlog.get_logger("spindle.test"), logging.getLogger("library")
    ours.info(f"event {CANARY}", field={"deep": [CANARY]}, header="Bearer abcdefghijkl")
    theirs.warning("their %s", CANARY)

    try:
        fail()
    except ValueError:
        ours.exception("failed")
        theirs.exception("failed")

    written = console.getvalue() + (tmp_path / "logs/main.log").read_text()
    assert "canary" not in written
    assert "abcdefghijkl" not in written
    assert written.count("upstream said ***") >= 4


def test_console_and_file_have_levels_of_their_own(tmp_path: Path) -> None:
    """Debug lines go to the file, info lines to both."""
    console = io.StringIO()
    set_up(console, tmp_path, LoggerSettings(file="main.log", console_level="info"))
    log = structlog.get_logger("spindle.test")
    log.debug("detail")
    log.info("news")

    assert [entry["event"] for entry in entries(console.getvalue())] == ["news"]
    file = entries((tmp_path / "main.log").read_text())
    assert [entry["event"] for entry in file] == ["detail", "news"]


def test_a_log_file_is_private_and_rotated(tmp_path: Path) -> None:
    """At its size it is set aside; only so many are kept, and nobody else reads any of them."""
    settings = LoggerSettings(file="main.log", max_size_mb=1, max_backups=1)
    set_up(io.StringIO(), tmp_path, settings)
    log = structlog.get_logger("spindle.test")

    for _ in range(3):
        log.info("x" * 600_000)

    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["main.log", "main.log.1"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_backups_past_their_age_are_removed_at_the_start(tmp_path: Path) -> None:
    """A backup older than `max_age_days` is gone, a younger one stays."""
    old, young = tmp_path / "main.log.2", tmp_path / "main.log.1"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    set_up(io.StringIO(), tmp_path, LoggerSettings(file="main.log"))

    assert not old.exists()
    assert young.exists()


def test_database_drivers_do_not_write_every_statement(tmp_path: Path) -> None:
    """Their details would hold what the rows hold; what they warn of is written."""
    set_up(io.StringIO(), tmp_path, LoggerSettings(file="main.log"))

    for name in ("aiosqlite", "sqlalchemy.engine.Engine"):
        driver = logging.getLogger(name)
        driver.debug("INSERT … %s", "hash")
        driver.info("BEGIN")
        driver.warning("slow")

    file = entries((tmp_path / "main.log").read_text())
    assert [entry["event"] for entry in file] == ["slow", "slow"]


def test_setting_up_twice_writes_every_line_once(tmp_path: Path) -> None:
    """The new set-up replaces the old one."""
    first, second = io.StringIO(), io.StringIO()
    set_up(first, tmp_path)
    set_up(second, tmp_path)
    structlog.get_logger("spindle.test").info("once")

    assert first.getvalue() == ""
    assert len(entries(second.getvalue())) == 1
