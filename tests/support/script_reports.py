"""Runs scripts of named checks in their environments, each once, and keeps what they found."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from spindle_spi.types import JsonObject
from tests.support.environments import Environments, EnvironmentUnavailable

if TYPE_CHECKING:
    from pathlib import Path

_RUN_SECONDS = 300.0
_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one script found."""

    found: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    """The findings by the names of the checks."""
    fault: str = ""
    """What is wrong beside them."""
    unavailable: str = ""
    """Why it could not run here."""

    def expect(self, name: str) -> None:
        """Fail unless the check of this name ran and holds; skip where nothing could run."""
        self.skip_if_unavailable()
        entry = self.found.get(name)
        assert entry is not None, f"the check did not run: {self.fault}"
        assert entry["ok"], entry["detail"]

    def expect_all(self, names: Sequence[str]) -> None:
        """Fail unless the script came to its end, and ran what is listed and nothing else."""
        self.skip_if_unavailable()
        assert not self.fault
        assert sorted(self.found) == sorted(names)

    def skip_if_unavailable(self) -> None:
        """Skip a test whose script could not run (with SPINDLE_CI=1 that is a failure)."""
        if self.unavailable:
            pytest.skip(self.unavailable)


Make = Callable[[str], Awaitable[Report]]


@dataclass(slots=True)
class Reports:
    """The reports of this process, all made when one is asked for first, two at a time."""

    names: tuple[str, ...]
    """Those that somebody will ask for."""
    opened: Callable[[], AbstractAsyncContextManager[Make]]
    """Gives what makes a report, for as long as reports are made."""
    _made: dict[str, Report] = field(default_factory=dict[str, Report])

    async def of(self, name: str) -> Report:
        """Return the report of a script."""
        if name not in self._made:
            try:
                await self._make_all()
            except (AssertionError, TimeoutError) as exc:
                # What the checks found stands, whatever a gateway did when it was told to end.
                for each in self.names:
                    report = self._made.get(each, Report())
                    self._made[each] = replace(report, fault=f"the gateway: {exc!r}")

        return self._made[name]

    async def _make_all(self) -> None:
        limiter = anyio.CapacityLimiter(_AT_ONCE)

        async with self.opened() as make, anyio.create_task_group() as group:
            for each in self.names:
                group.start_soon(self._make, make, each, limiter)

    async def _make(self, make: Make, name: str, limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            self._made[name] = await make(name)


def asked_for(request: pytest.FixtureRequest, names: Sequence[str]) -> tuple[str, ...]:
    """Return the scripts whose checks are among the tests of this process."""
    named = " ".join(item.nodeid for item in request.session.items)
    return tuple(name for name in names if f"[{name}-" in named or f"[{name}]" in named)


async def report_of(
    environments: Environments,
    name: str,
    home: Path,
    gateway: Callable[[Path], AbstractAsyncContextManager[Mapping[str, str]]],
) -> Report:
    """Run a script before a gateway that is there as long as it runs, and tells of itself."""
    try:
        arguments, folder = await anyio.to_thread.run_sync(environments.command, name)
    except EnvironmentUnavailable as exc:
        return Report(unavailable=f"NO ENVIRONMENT FOR {name}: not tested. {exc}")

    report = Report()

    try:
        async with gateway(home / "gateway") as variables:
            run = partial(_run_script, arguments, folder, variables, home)
            report = await anyio.to_thread.run_sync(run)
    except (AssertionError, TimeoutError) as exc:
        # What the checks found stands, whatever the gateway did when it was told to end.
        return replace(report, fault=f"the gateway: {exc!r}")

    return report


def _run_script(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], home: Path
) -> Report:
    out, err, fault = home / "out.txt", home / "err.txt", ""

    with out.open("wb") as stdout, err.open("wb") as stderr:
        try:
            code = subprocess.run(
                arguments, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                stdout=stdout, stderr=stderr, check=False, timeout=_RUN_SECONDS,
            ).returncode  # fmt: skip
            fault = f"exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            fault = "the script did not end"

    if fault:
        fault += "\n" + err.read_text(errors="replace")[-4000:]

    # The last line of a script that was stopped may be half a line.
    lines = [line for line in out.read_text().splitlines(keepends=True) if line.endswith("\n")]
    entries = [json.loads(line) for line in lines]
    return Report(found={str(entry["name"]): entry for entry in entries}, fault=fault)
