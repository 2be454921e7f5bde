"""Named checks of a script that runs in an environment of its own: the standard library alone.

A script registers functions by `@check`, and `run` calls them all in order and prints a line of
JSON for each: its name, whether it holds, and what it found otherwise.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

Body = Callable[[], Awaitable[None] | None]

_CHECK_SECONDS = 120
_SECRET = "sk-upstream"
"""Begins what an upstream's errors say of its key."""

_checks: dict[str, Body] = {}


def check(name: str) -> Callable[[Body], Body]:
    """Register a check."""

    def register(body: Body) -> Body:
        assert name not in _checks, name
        _checks[name] = body
        return body

    return register


def raises(kind: type[Exception] | tuple[type[Exception], ...], call: Callable[[], Any]) -> Any:
    """Return the error a call raises; anything else is a fault, an upstream's secret too."""
    try:
        found = call()
    except kind as exc:
        return _discreet(exc)

    raise AssertionError(f"nothing was raised; it returned {found!r}")


async def raises_async(
    kind: type[Exception] | tuple[type[Exception], ...], call: Awaitable[Any]
) -> Any:
    """Return the error an awaitable raises."""
    try:
        found = await call
    except kind as exc:
        return _discreet(exc)

    raise AssertionError(f"nothing was raised; it returned {found!r}")


def _discreet(error: Any) -> Any:
    assert _SECRET not in f"{error!r} {vars(error)}", "the error tells the upstream's own words"
    return error


def same(found: object, expected: object) -> None:
    """Fail unless both are equal, and show them."""
    assert found == expected, f"found {found!r}, expected {expected!r}"


def run() -> None:
    """Run every check, or those named on the command line, and print what was found."""
    # One loop for all: a client whose loop is gone cannot close what it holds.
    with asyncio.Runner() as runner:
        for name in sys.argv[1:] or list(_checks):
            detail = _finding(name, runner)
            sys.stdout.write(json.dumps({"name": name, "ok": not detail, "detail": detail}) + "\n")
            sys.stdout.flush()


def _finding(name: str, runner: asyncio.Runner) -> str:
    # The edge of this process: whatever a check raises is its finding.
    try:
        result = _checks[name]()

        if inspect.isawaitable(result):
            runner.run(_finished(result))
    except Exception as exc:  # noqa: BLE001
        return "".join(traceback.format_exception(exc))[-4000:]

    return ""


async def _finished(result: Awaitable[None]) -> None:
    await asyncio.wait_for(result, _CHECK_SECONDS)
