"""The pages of docs/clients as data: the commands on them, and what they say is printed."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "clients"
GATEWAY = "https://gateway.example"
"""The address on the pages."""
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A command of a page with what it prints there."""

    options: tuple[str, ...]
    """Of `spindle mcp config`."""
    language: str
    text: str

    def option(self, name: str) -> str | None:
        """Return what an option is given."""
        return self.options[self.options.index(name) + 1] if name in self.options else None


def blocks(page: str) -> list[tuple[str, str]]:
    """Return language and text of each fenced block of a page."""
    return [(found[1], found[2]) for found in _BLOCK.finditer((FOLDER / page).read_text())]


def snippets(page: str) -> Iterator[Snippet]:
    """Return the snippets of a page; each stands in the block after its command's."""
    all_blocks = blocks(page)

    for (language, command), (printed, text) in zip(all_blocks, all_blocks[1:], strict=False):
        if language == "console":
            words = shlex.split(command)
            assert words[:4] == ["$", "spindle", "mcp", "config"], command
            yield Snippet(options=tuple(words[4:]), language=printed, text=text)


def parsed(language: str, text: str) -> object:
    """Return what a snippet is; fail when it is not what its language says."""
    match language:
        case "json":
            return json.loads(text)
        case "python":
            return compile(text, "snippet", "exec")
        case "sh":
            return shlex.split(text)
        case _:
            return text.splitlines()
