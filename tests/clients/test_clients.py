"""MCP clients people use, unmodified and in environments of their own, against a real gateway.

Each client's script runs once; each of its checks is a test here.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.clients.environments import ENVIRONMENTS
from tests.clients.expected import CHECKS, reasons, table
from tests.clients.gateway import documented, running_gateway
from tests.support.client_pages import FOLDER
from tests.support.script_reports import Make, Report, Reports, asked_for, report_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path


@pytest.fixture(scope="session")
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Make]:
        async with running_gateway(tmp_path_factory.mktemp("gateway")) as variables:

            @asynccontextmanager
            async def shared(_: Path) -> AsyncGenerator[Mapping[str, str]]:
                yield variables

            async def make(client: str) -> Report:
                home = tmp_path_factory.mktemp(client)
                return await report_of(ENVIRONMENTS, client, home, shared)

            yield make

    return Reports(asked_for(request, list(CHECKS)), opened)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("client", "name"),
    [
        pytest.param(client, name, id=f"{client}-{name}")
        for client, names in CHECKS.items()
        for name in names
    ],
)
async def test_the_gateway_is_what_the_client_expects(
    reports: Reports, client: str, name: str
) -> None:
    """The check of this name holds."""
    (await reports.of(client)).expect(name)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("client", list(CHECKS))
async def test_no_check_is_left_out(reports: Reports, client: str) -> None:
    """Each script came to its end, and ran what is listed and nothing else."""
    (await reports.of(client)).expect_all(CHECKS[client])


@pytest.mark.parametrize("client", list(CHECKS))
def test_the_lock_of_a_client_is_up_to_date(client: str) -> None:
    """What is installed is what its list asks for, from no particular registry."""
    assert ENVIRONMENTS.find_faults(client) == []


def test_every_documented_way_is_carried_out() -> None:
    """Each form of each page but one: there is no Claude Code here to run its command."""
    checked = {name for names in CHECKS.values() for name in names if name.startswith("documented")}
    told = {f"documented.{way}" for way in documented("http://127.0.0.1:1")}
    assert told - checked == {"documented.claude-code.command"}
    assert checked <= told


def test_the_page_says_which_client_does_what() -> None:
    """A row for each thing a client may do, and why one does not."""
    page = (FOLDER / "index.md").read_text()
    assert "\n".join(table()) in page
    assert "\n".join(reasons()) in page
