"""Named checks of one SDK, run in its own environment: nothing but the standard library here.

A script registers functions by `@check`, and `run` calls them all in order and prints a line of
JSON for each: its name, whether it holds, and what it found otherwise.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import sys
import time
import traceback
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Body = Callable[[], Awaitable[None] | None]

PLAIN = "Grüße! The quick brown fox (狐) jumps over the lazy dog 🦊 and says “hello”."
"""What the model `plain` says."""
REASONING = "First I think, then I answer."
REFUSAL = "I cannot help with that."
_SECRET = "sk-upstream"
"""Begins what an upstream's errors say of its key."""

_checks: dict[str, Body] = {}


@dataclass(frozen=True)
class Gateway:
    """The gateway as the environment tells of it."""

    url: str = os.environ.get("SPINDLE_URL", "")
    token: str = os.environ.get("SPINDLE_TOKEN", "")
    """A developer's."""
    poor_token: str = os.environ.get("SPINDLE_POOR_TOKEN", "")
    """Of somebody whose budget is spent."""
    bare_token: str = os.environ.get("SPINDLE_BARE_TOKEN", "")
    """Of somebody who may list models and ask none."""
    admin_token: str = os.environ.get("SPINDLE_ADMIN_TOKEN", "")
    upstream: str = os.environ.get("SPINDLE_UPSTREAM", "")
    """Where the upstream keeps its log."""

    @property
    def base(self) -> str:
        """The address OpenAI's SDKs are given."""
        return f"{self.url}/v1"


gateway = Gateway()


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


class Requests:
    """Counts what the gateway was asked on a route, by its own measures."""

    def __init__(self, route: str) -> None:
        self._route = route
        self._before = _answered(route)

    def expect(self, count: int) -> None:
        """Fail unless it was asked exactly so often: counted when an answer is out."""
        deadline = time.monotonic() + 5

        while (found := _answered(self._route) - self._before) < count:
            assert time.monotonic() < deadline, f"the gateway saw {found} requests, not {count}"
            time.sleep(0.02)

        assert found == count, f"the gateway saw {found} requests, not {count}"


def upstream_requests() -> list[dict[str, Any]]:
    """Return what the upstream was asked."""
    return list(_fetch(f"{gateway.upstream}/_log", None)["requests"])


def get(path: str) -> Any:
    """Return what the gateway answers to a plain GET of the developer."""
    return _fetch(f"{gateway.url}{path}", gateway.token)


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
    await asyncio.wait_for(result, 40)


def _answered(route: str) -> int:
    request = urllib.request.Request(
        f"{gateway.url}/metrics", headers={"authorization": f"Bearer {gateway.admin_token}"}
    )

    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()

    pattern = (
        rf'^spindle_http_requests_total\{{[^}}]*route="{re.escape(route)}"[^}}]*\}} ([0-9.e+]+)$'
    )
    return int(sum(float(number) for number in re.findall(pattern, text, re.MULTILINE)))


def _fetch(url: str, token: str | None) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}

    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return json.load(answer)
