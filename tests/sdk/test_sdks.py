"""The SDKs people use, unmodified and in environments of their own, against a real gateway.

Each SDK's script runs once; each of its checks is a test here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

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

    found: dict[str, JsonObject]
    """The findings by the names of the checks."""
    rest: str
    """What else it said."""


@pytest.fixture(scope="module")
async def report(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Report:
    sdk: str = request.param

    try:
        arguments, folder = await anyio.to_thread.run_sync(command, sdk)
    except EnvironmentUnavailable as exc:
        pytest.skip(f"NO ENVIRONMENT FOR {sdk}: not tested. {exc}")

    async with running_gateway(tmp_path_factory.mktemp(sdk)) as environment:
        with anyio.fail_after(_RUN_SECONDS):
            finished = await anyio.run_process(arguments, env=environment, cwd=folder, check=False)

    rest = finished.stderr.decode(errors="replace")[-4000:]
    found: dict[str, JsonObject] = {}

    for line in finished.stdout.decode().splitlines():
        entry: JsonObject = json.loads(line)
        found[str(entry["name"])] = entry

    return Report(found=found, rest=f"exit code {finished.returncode}\n{rest}")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("report", "name"),
    [
        pytest.param(sdk, name, id=f"{sdk}-{name}")
        for sdk, names in CHECKS.items()
        for name in names
    ],
    indirect=["report"],
    scope="module",
)
async def test_the_gateway_is_what_the_sdk_expects(report: Report, name: str) -> None:
    """The check of this name holds."""
    entry = report.found.get(name)
    assert entry is not None, f"the check did not run: {report.rest}"
    assert entry["ok"], entry["detail"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("report", list(CHECKS), indirect=True, scope="module")
async def test_no_check_is_left_out(report: Report, request: pytest.FixtureRequest) -> None:
    """Each script ran what is listed here and nothing else."""
    sdk: str = request.node.callspec.params["report"]
    assert sorted(report.found) == sorted(CHECKS[sdk]), report.rest


@pytest.mark.parametrize("sdk", list(CHECKS))
def test_the_lock_of_an_sdk_is_up_to_date(sdk: str) -> None:
    """What is installed is what its list asks for, from no particular registry."""
    assert find_faults(sdk) == []
