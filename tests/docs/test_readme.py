"""The README is executed: its commands, its configuration, its links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from tests.journeys.gateway import spindle
from tests.support.spindle_process import running_spindle

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> Iterator[str]:
    """The fenced blocks of a language, in order."""
    for match in re.finditer(rf"```{language}\n(.*?)```", README, re.DOTALL):
        yield match.group(1)


def commands(start: str) -> list[str]:
    """The console commands that begin with a word, continuation lines included."""
    text = "\n".join(blocks("console"))
    found = re.findall(r"^\$ (.*?)(?=^\$ |\Z)", text, re.MULTILINE | re.DOTALL)
    return [command.strip() for command in found if command.startswith(start)]


@pytest.mark.requirement("004-health")
async def test_the_two_calls_of_the_readme_work(tmp_path: Path) -> None:
    """Pasted into a shell against a fresh gateway, both answer; so does /health."""
    async with running_spindle(home=tmp_path) as server:
        async with server.client("") as client:
            health = await client.get("/health")
            assert (health.status_code, health.json()) == (200, {"status": "ok"})

        calls = commands("curl")
        assert len(calls) == 2

        for call in calls:
            command = call.replace("http://127.0.0.1:8080", server.url).replace(
                "~/.spindle", str(tmp_path)
            )
            finished = await anyio.run_process(["bash", "-c", command], check=False)
            assert finished.returncode == 0, finished.stderr
            assert b"Hello, Spindle!" in finished.stdout, finished.stdout


async def test_the_configuration_of_the_readme_is_valid(tmp_path: Path) -> None:
    """`spindle config check` finds nothing wrong with it."""
    (text,) = blocks("yaml")
    path = tmp_path / "spindle.yaml"
    path.write_text(text)
    said = await spindle(
        tmp_path, "config", "check", "--config", str(path), env={"OPENAI_API_KEY": "x"}
    )
    assert "ok" in said


async def test_the_token_command_of_the_readme_works(tmp_path: Path) -> None:
    """It prints a token."""
    (command,) = commands(".venv/bin/spindle token")
    said = await spindle(tmp_path, *command.split()[1:])
    assert "spn_" in said


def test_every_link_of_the_readme_leads_somewhere() -> None:
    """A page that is named is a page that is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
