"""What the log says of calls, and how often it says that a service fails."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pytest
import structlog

from spindle.config import load_settings
from spindle.config.sections import LoggerSettings
from spindle.core import Core
from spindle.telemetry.call_logs import CallLog
from spindle.telemetry.logs import configure_logging
from spindle_spi.admission import Outcome, Status
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.core.heart import CONFIGURATION, Heart
from tests.core.telemetry.test_calls import FAILED, FALLEN_BACK, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Level: TypeAlias = Literal["debug", "info", "error"]

REFUSED = Outcome(
    status=Status.ERROR,
    attempts=(replace(FAILED, outcome="llm.context_length", status=400),),
    error_code="llm.context_length",
)
BROKEN = Outcome(status=Status.ERROR, attempts=(FAILED,), error_code="upstream_timeout")
FINE = replace(WHOLE, response_bytes=321)


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


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def said(home: Path, *outcomes: Outcome, level: Level = "debug") -> list[dict[str, Any]]:
    """Settle calls, and return the lines of their log."""
    console = io.StringIO()
    configure_logging(LoggerSettings(console_level=level), home=home, console=console)
    path = home / "spindle.yaml"
    path.write_text(CONFIGURATION)
    core = await Core.open(load_settings(path, home=home, environ={}))
    caller = await Heart(core).caller("red", "blue", admin=False)

    for outcome in outcomes:
        target = Target(kind=Kind.MODEL, name="up~open")
        permit = core.admission.admit(caller, target, Action.EXECUTE)
        await core.admission.settle(permit.id, outcome)

    await core.close()
    lines = [json.loads(line) for line in console.getvalue().splitlines()]
    return [line for line in lines if line["logger"] == "spindle.calls"]


@pytest.mark.requirement("001-logging-behaviour")
async def test_a_call_is_one_line_with_its_duration_and_its_size(tmp_path: Path) -> None:
    """At debug: service, model, status, milliseconds, and the bytes of the answer."""
    (line,) = await said(tmp_path, FINE)
    del line["timestamp"]
    assert line.pop("request_id").startswith("req_")
    assert line == {
        "event": "call",
        "level": "debug",
        "logger": "spindle.calls",
        "kind": "model",
        "service": "up",
        "model": "up~open",
        "served_by": None,
        "status": "ok",
        "code": None,
        "attempts": 1,
        "duration_ms": 21,
        "response_bytes": 321,
    }


async def test_calls_are_not_written_above_debug(tmp_path: Path) -> None:
    """A call that goes well leaves nothing in the log as it usually is."""
    assert await said(tmp_path, FINE, FALLEN_BACK, level="error") == []
    assert await said(tmp_path, FINE, REFUSED, level="info") == []


@pytest.mark.requirement("001-logging-behaviour")
async def test_a_service_that_fails_is_told_of_once(tmp_path: Path) -> None:
    """The first failure is a warning with service, model, code and status; the others are not."""
    (line,) = await said(tmp_path, BROKEN, BROKEN, BROKEN, level="info")
    assert line["event"] == "a service fails"
    assert line["level"] == "warning"
    assert (line["service"], line["model"]) == ("up", "up~open")
    assert (line["code"], line["status"]) == ("upstream_timeout", 504)
    assert line["request_id"].startswith("req_")


def test_a_service_that_comes_and_goes_fills_no_log() -> None:
    """Of each service a change is told, and for a while none after it."""
    clock = Clock()
    log = CallLog(clock)

    with structlog.testing.capture_logs() as lines:
        note(log, BROKEN)
        note(log, FINE, BROKEN, FINE, BROKEN, FINE)
        assert [line["event"] for line in lines] == ["a service fails"]
        clock.now += 10
        note(log, REFUSED, BROKEN)
        assert len(lines) == 1
        note(log, FINE, FINE, BROKEN)
        assert [line["event"] for line in lines[1:]] == ["a service answers again"]
        assert lines[1]["log_level"] == "info"
        clock.now += 10
        note(log, BROKEN)

    assert [line["event"] for line in lines[2:]] == ["a service fails"]


def note(log: CallLog, *outcomes: Outcome) -> None:
    """Show the log the attempts of calls, as their observer does."""
    for outcome in outcomes:
        for attempt in outcome.attempts:
            log.note("req_9", attempt)
