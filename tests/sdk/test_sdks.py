"""The SDKs people use, unmodified and in environments of their own, against a real gateway.

Each SDK's script runs once; each of its checks is a test here.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.sdk.environments import ENVIRONMENTS
from tests.sdk.expected import CHECKS
from tests.sdk.gateway import running_gateway
from tests.support.script_reports import Make, Report, Reports, asked_for, report_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_PROVING = {
    ("openai_python", "chat.unary"): pytest.mark.requirement("000-chat-completions"),
    ("openai_python", "chat.stream"): pytest.mark.requirement("001-unified-naming"),
    ("openai_python", "models.list"): pytest.mark.requirement("000-models"),
    ("openai_python", "embeddings.float"): pytest.mark.requirement("001-api-embeddings"),
}
"""The requirements some of the checks prove."""


@pytest.fixture(scope="session")
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    async def make(sdk: str) -> Report:
        return await report_of(ENVIRONMENTS, sdk, tmp_path_factory.mktemp(sdk), running_gateway)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Make]:
        yield make

    return Reports(asked_for(request, list(CHECKS)), opened)


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
    (await reports.of(sdk)).expect(name)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("sdk", list(CHECKS))
async def test_no_check_is_left_out(reports: Reports, sdk: str) -> None:
    """Each script came to its end, and ran what is listed and nothing else."""
    (await reports.of(sdk)).expect_all(CHECKS[sdk])


@pytest.mark.parametrize("sdk", list(CHECKS))
def test_the_lock_of_an_sdk_is_up_to_date(sdk: str) -> None:
    """What is installed is what its list asks for, from no particular registry."""
    assert ENVIRONMENTS.find_faults(sdk) == []
