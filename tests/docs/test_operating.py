"""The page for operators is walked: every command of it, as it stands."""

from __future__ import annotations

import os
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.console import Console, blocks_of, open_console, steps_of
from tests.support.spindle_process import clean_environment
from tests.support.upstream_process import running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import Json

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "operating.md").read_text()
DEPLOYING = (DOCS / "deploying.md").read_text()
KEY = "sk-of-the-operator-0123456789"
NEW_KEY = "sk-the-next-one-9876543210"


# Some thirty processes, one after the other: half a minute of an idle machine.
@pytest.mark.timeout(300)
async def test_the_walk_of_the_page_works(tmp_path: Path) -> None:
    """From nothing to two teams; and the provider is called with the key that was given last."""
    async with running_upstream() as upstream:
        environment = {
            "PROVIDER_URL": f"{upstream.url}/v1",
            "PROVIDER_KEY": KEY,
            "NEW_PROVIDER_KEY": NEW_KEY,
        }

        async with _console(PAGE, tmp_path, environment) as console:
            *steps, stop = steps_of(PAGE)
            await console.walk(steps)
            await console.run('chat "$(cat home/admin-token)" default')
            keys = [_authorization(seen["headers"]) for seen in await upstream.log()]
            await console.take(stop)

    assert len(steps) > 40
    assert (keys[0], keys[-1]) == (f"Bearer {KEY}", f"Bearer {NEW_KEY}")
    assert set(keys) == {f"Bearer {KEY}", f"Bearer {NEW_KEY}"}
    assert _files_with(tmp_path, KEY) == []


async def test_the_configuration_for_a_deployment_is_valid(tmp_path: Path) -> None:
    """With a key made as the page makes it, and without asking any of the servers it names."""
    async with _console(DEPLOYING, tmp_path, {}) as console:
        await console.walk(steps_of(DEPLOYING))


@pytest.mark.parametrize("page", [PAGE, DEPLOYING], ids=["operating", "deploying"])
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    """A page that is named is a page that is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", page)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []


@asynccontextmanager
async def _console(
    page: str, directory: Path, environment: dict[str, str]
) -> AsyncGenerator[Console]:
    """A shell where a page begins: a directory with its configuration, `spindle` in the PATH."""
    ((_, configuration),) = blocks_of(page, "yaml")
    (directory / "spindle.yaml").write_text(configuration)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    async with open_console(
        directory, clean_environment({**environment, "PATH": path, "HOME": str(directory)})
    ) as console:
        yield console


def _files_with(directory: Path, text: str) -> list[str]:
    return [
        path.name
        for path in directory.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


def _authorization(headers: Json) -> Json:
    assert isinstance(headers, dict)
    return headers["authorization"]
