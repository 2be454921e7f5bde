"""The page for operators is walked: every command of it, as it stands."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.console import blocks_of, open_console, steps_of
from tests.support.spindle_process import clean_environment
from tests.support.upstream_process import running_upstream

if TYPE_CHECKING:
    from spindle_spi.types import Json

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "operating.md").read_text()
KEY = "sk-of-the-operator-0123456789"
NEW_KEY = "sk-the-next-one-9876543210"


# Some thirty processes, one after the other: half a minute of an idle machine.
@pytest.mark.timeout(300)
async def test_the_walk_of_the_page_works(tmp_path: Path) -> None:
    """From nothing to two teams; and the provider is called with the key that was given last."""
    ((_, configuration),) = blocks_of(PAGE, "yaml")
    (tmp_path / "spindle.yaml").write_text(configuration)

    async with running_upstream() as upstream:
        environment = clean_environment(
            {
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "PROVIDER_URL": f"{upstream.url}/v1",
                "PROVIDER_KEY": KEY,
                "NEW_PROVIDER_KEY": NEW_KEY,
            }
        )

        async with open_console(tmp_path, environment) as console:
            *steps, stop = steps_of(PAGE)
            await console.walk(steps)
            before = [_authorization(seen["headers"]) for seen in await upstream.log()]
            await console.run('chat "$(cat home/admin-token)" default')
            last = _authorization((await upstream.log())[-1]["headers"])
            await console.take(stop)

    assert len(steps) > 40
    assert set(before) == {f"Bearer {KEY}"}
    assert last == f"Bearer {NEW_KEY}"
    assert _files_with(tmp_path, KEY) == []


def test_every_link_of_the_page_leads_somewhere() -> None:
    """A page that is named is a page that is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []


def _files_with(directory: Path, text: str) -> list[str]:
    return [
        path.name
        for path in directory.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


def _authorization(headers: Json) -> Json:
    assert isinstance(headers, dict)
    return headers["authorization"]
