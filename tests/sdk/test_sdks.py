"""The SDKs people use, unmodified and in environments of their own, against a real gateway.

Each SDK's script runs once; each of its checks is a test here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import pytest

from spindle_spi.types import JsonObject
from tests.sdk.environments import EnvironmentUnavailable, command, find_faults
from tests.sdk.expected import CHECKS
from tests.sdk.gateway import running_gateway

_RUN_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one script found."""

    found: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    """The findings by the names of the checks."""
    rest: str = ""
    """What else it said."""
    unavailable: str = ""
    """Why it could not run here."""


@dataclass(slots=True)
class Reports:
    """The reports of this process: a script runs when its report is asked for first."""

    folder: pytest.TempPathFactory
    _made: dict[str, Report] = field(default_factory=dict[str, Report])

    async def of(self, sdk: str) -> Report:
        """Return the report of an SDK's script."""
        if sdk not in self._made:
            self._made[sdk] = await self._run(sdk)

        return self._made[sdk]

    async def _run(self, sdk: str) -> Report:
        try:
            arguments, folder = await anyio.to_thread.run_sync(command, sdk)
        except EnvironmentUnavailable as exc:
            return Report(unavailable=f"NO ENVIRONMENT FOR {sdk}: not tested. {exc}")

        async with running_gateway(self.folder.mktemp(sdk)) as environment:
            with anyio.fail_after(_RUN_SECONDS):
                finished = await anyio.run_process(
                    arguments, env=environment, cwd=folder, check=False
                )

        rest = finished.stderr.decode(errors="replace")[-4000:]
        entries = [json.loads(line) for line in finished.stdout.decode().splitlines()]
        return Report(
            found={str(entry["name"]): entry for entry in entries},
            rest=f"exit code {finished.returncode}\n{rest}",
        )


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    return Reports(tmp_path_factory)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("sdk", "name"),
    [
        pytest.param(sdk, name, id=f"{sdk}-{name}", marks=pytest.mark.xdist_group(sdk))
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
    assert entry is not None, f"the check did not run: {report.rest}"
    assert entry["ok"], entry["detail"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "sdk", [pytest.param(sdk, marks=pytest.mark.xdist_group(sdk)) for sdk in CHECKS]
)
async def test_no_check_is_left_out(reports: Reports, sdk: str) -> None:
    """Each script ran what is listed here and nothing else."""
    report = await reports.of(sdk)

    if report.unavailable:
        pytest.skip(report.unavailable)

    assert sorted(report.found) == sorted(CHECKS[sdk]), report.rest


@pytest.mark.parametrize("sdk", list(CHECKS))
def test_the_lock_of_an_sdk_is_up_to_date(sdk: str) -> None:
    """What is installed is what its list asks for, from no particular registry."""
    assert find_faults(sdk) == []
