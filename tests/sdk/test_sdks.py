"""The SDKs people use, unmodified and in environments of their own, against a real gateway.

Each SDK's script runs once; each of its checks is a test here.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from spindle_spi.types import JsonObject
from tests.sdk.environments import EnvironmentUnavailable, command, find_faults
from tests.sdk.expected import CHECKS
from tests.sdk.gateway import running_gateway

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_RUN_SECONDS = 150.0
_AT_ONCE = 2
_PROVING = {
    ("openai_python", "chat.unary"): pytest.mark.requirement("000-chat-completions"),
    ("openai_python", "chat.stream"): pytest.mark.requirement("001-unified-naming"),
    ("openai_python", "models.list"): pytest.mark.requirement("000-models"),
    ("openai_python", "embeddings.float"): pytest.mark.requirement("001-api-embeddings"),
}
"""The requirements some of the checks prove."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one script found."""

    found: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    """The findings by the names of the checks."""
    fault: str = ""
    """What is wrong beside them."""
    unavailable: str = ""
    """Why it could not run here."""


@dataclass(slots=True)
class Reports:
    """The reports of this process, all made when one is asked for first, two at a time."""

    sdks: tuple[str, ...]
    """Those that somebody will ask for."""
    folder: pytest.TempPathFactory
    _made: dict[str, Report] = field(default_factory=dict[str, Report])

    async def of(self, sdk: str) -> Report:
        """Return the report of an SDK's script."""
        if sdk not in self._made:
            limiter = anyio.CapacityLimiter(_AT_ONCE)

            async with anyio.create_task_group() as group:
                for each in self.sdks:
                    group.start_soon(self._make, each, limiter)

        return self._made[sdk]

    async def _make(self, sdk: str, limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            self._made[sdk] = await self._run(sdk)

    async def _run(self, sdk: str) -> Report:
        try:
            arguments, folder = await anyio.to_thread.run_sync(command, sdk)
        except EnvironmentUnavailable as exc:
            return Report(unavailable=f"NO ENVIRONMENT FOR {sdk}: not tested. {exc}")

        home, report = self.folder.mktemp(sdk), Report()

        try:
            async with running_gateway(home / "gateway") as environment:
                run = partial(_run_script, arguments, folder, environment, home)
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


@pytest.fixture(scope="session")
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    named = " ".join(item.nodeid for item in request.session.items)
    asked = tuple(sdk for sdk in CHECKS if f"[{sdk}-" in named or f"[{sdk}]" in named)
    return Reports(asked, tmp_path_factory)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("sdk", "name"),
    [
        pytest.param(sdk, name, id=f"{sdk}-{name}", marks=_PROVING.get((sdk, name), ()))
        for sdk, names in CHECKS.items()
        for name in names
    ],
)
async def test_the_gateway_is_what_the_sdk_expects(reports: Reports, sdk: str, name: str) -> None:
    """The check of this name holds."""
    report = await reports.of(sdk)

    if report.unavailable:
        pytest.skip(report.unavailable)

    entry = report.found.get(name)
    assert entry is not None, f"the check did not run: {report.fault}"
    assert entry["ok"], entry["detail"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("sdk", list(CHECKS))
async def test_no_check_is_left_out(reports: Reports, sdk: str) -> None:
    """Each script came to its end, and ran what is listed and nothing else."""
    report = await reports.of(sdk)

    if report.unavailable:
        pytest.skip(report.unavailable)

    assert not report.fault
    assert sorted(report.found) == sorted(CHECKS[sdk])


@pytest.mark.parametrize("sdk", list(CHECKS))
def test_the_lock_of_an_sdk_is_up_to_date(sdk: str) -> None:
    """What is installed is what its list asks for, from no particular registry."""
    assert find_faults(sdk) == []
