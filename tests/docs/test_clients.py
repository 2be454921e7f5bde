"""The pages of the MCP clients say what `spindle mcp config` prints, of every client and form.

What they describe is carried out in tests/clients.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from spindle_mcp.cli import mcp
from spindle_mcp.clients.snippets import clients
from tests.journeys.gateway import spindle
from tests.support.client_pages import FOLDER, GATEWAY, blocks, parsed, snippets

if TYPE_CHECKING:
    from pathlib import Path

NAMES = list(clients())
INDEX = (FOLDER / "index.md").read_text()


class Nobody:
    """No gateway runs here, and no variable is set."""

    def __init__(self, home: Path | None = None) -> None:
        del home
        self.environ: dict[str, str] = {}

    def find(self) -> str | None:
        return None


def config(*options: str) -> Any:
    found = CliRunner().invoke(mcp, ["config", *options, "--no-check"], obj=Nobody)
    assert found.exit_code == 0, found.stderr
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_snippet_of_a_page_is_what_its_command_prints(name: str) -> None:
    """With the page's own arguments; it is of its language."""
    found = list(snippets(f"{name}.md"))
    assert found

    for snippet in found:
        assert snippet.text == config(*snippet.options).stdout
        assert parsed(snippet.language, snippet.text)
        assert snippet.option("--client") == name
        assert snippet.option("--url") == GATEWAY
        form = clients()[name].form(snippet.option("--form"))
        assert form is not None
        assert form.language == snippet.language


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_every_form(name: str) -> None:
    """A form that is not described does not exist."""
    shown = {
        form.id
        for snippet in snippets(f"{name}.md")
        if (form := clients()[name].form(snippet.option("--form"))) is not None
    }
    assert shown == {form.id for form in clients()[name].forms}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_has_a_shell_do_is_what_the_command_advises(name: str) -> None:
    """Each line outside the snippets is one of the hints."""
    printed = {snippet.text for snippet in snippets(f"{name}.md")}
    advised = "".join(config(*snippet.options).stderr for snippet in snippets(f"{name}.md"))

    for language, text in blocks(f"{name}.md"):
        if language == "sh" and text not in printed:
            assert all(line in advised for line in text.splitlines()), text


def test_there_is_a_page_for_each_client_and_the_index_names_it() -> None:
    """And no other."""
    pages = {path.stem for path in FOLDER.glob("*.md")} - {"index"}
    assert pages == set(NAMES)
    assert re.findall(r"^\| \[.+?\]\((.+?)\.md\)", INDEX, re.MULTILINE) != []
    assert set(re.findall(r"\]\(([a-z-]+)\.md\)", INDEX)) == set(NAMES)


def test_the_list_of_the_index_is_the_list() -> None:
    """Each client with its forms."""
    (listed,) = [text for language, text in blocks("index.md") if language == "console"]
    command, _, printed = listed.partition("\n")
    assert command == "$ spindle mcp config --list"
    assert printed == config("--list").stdout


@pytest.mark.parametrize(
    ("title", "names"), [("spindle mcp config", ["config"]), ("spindle mcp", [])]
)
def test_the_index_names_each_option_and_no_other(title: str, names: list[str]) -> None:
    """As the command has them, but for those that are hidden."""
    command: Any = get_command(mcp)

    for name in names:
        command = command.commands[name]

    there = {
        (option.secondary_opts or option.opts)[0]
        for option in command.params
        if not option.hidden and option.name != "list_all"
    }
    _, _, section = INDEX.partition(f"## `{title}`\n")
    section, _, _ = section.partition("\n## ")
    assert set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)) == there


def test_both_ways_of_telling_claude_code_say_the_same() -> None:
    """The command names the endpoint and the header of the file."""
    file, command = snippets("claude-code.md")
    told: Any = parsed(file.language, file.text)
    entry = told["mcpServers"]["spindle"]
    words = shlex.split(command.text)
    assert words[:3] == ["claude", "mcp", "add"]
    assert words[words.index("--transport") + 1] == entry["type"]
    assert words[words.index("--scope") + 1] == "project"
    assert entry["url"] in words
    header = words[words.index("--header") + 1]
    assert header.split(": ", 1) == ["Authorization", entry["headers"]["Authorization"]]


async def test_the_configuration_on_the_page_of_chatgpt_is_valid(tmp_path: Path) -> None:
    """`spindle config check` finds nothing wrong with it."""
    (text,) = [text for language, text in blocks("chatgpt.md") if language == "yaml"]
    path = tmp_path / "spindle.yaml"
    path.write_text(text)
    assert "ok" in await spindle(tmp_path, "config", "check", "--config", str(path))


def test_every_link_of_the_pages_leads_somewhere() -> None:
    """A page that is named is a page that is there."""
    for page in FOLDER.glob("*.md"):
        links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        assert [link for link in links if not (page.parent / link).exists()] == []
