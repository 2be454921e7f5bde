"""The libraries the gateway was to stand on: declared, installed, and used where it is written."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
DECISION = ROOT / "docs/decisions/0029-the-stack.md"
STACK = {
    "mcp": "mcp",
    "anyio": "anyio",
    "starlette": "starlette",
    "sse-starlette": "sse_starlette",
    "httpx2": "httpx2",
    "pydantic": "pydantic",
    "authlib": "authlib",
    "opentelemetry-api": "opentelemetry",
    "pytest": "pytest",
    "hypothesis": "hypothesis",
}
"""What each distribution is imported as."""


@pytest.mark.requirement("card-stack")
@pytest.mark.parametrize("name", STACK)
def test_each_part_of_the_stack_is_declared_and_installed(name: str) -> None:
    """By us, or as sse-starlette by the MCP SDK; and the lock holds it to one version."""
    needed = _declared() | {"sse-starlette"}
    assert name in needed
    assert "sse-starlette" in {Requirement(each).name for each in requires("mcp") or ()}
    locked = re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.M)
    assert dict(locked)[name] == distribution(name).version


@pytest.mark.requirement("card-stack")
@pytest.mark.parametrize("name", STACK)
def test_each_part_of_the_stack_is_used_where_the_decision_says(name: str) -> None:
    """Every folder it names imports the library; sse-starlette no file of ours imports."""
    (where,) = re.findall(rf"^\| `{name}` \| (.*) \|$", DECISION.read_text(), re.M)
    folders = re.findall(r"`((?:core|modules|tests)[a-z_/]*)`", where)

    if name == "sse-starlette":
        assert folders == []
        assert not any(_imports(ROOT / each, STACK[name]) for each in ("core", "modules", "spi"))
        return

    assert folders
    assert [folder for folder in folders if not _imports(ROOT / folder, STACK[name])] == []


def _declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["dependencies"]
    return {Requirement(each).name for each in (*hook, *project["dependency-groups"]["dev"])}


def _imports(folder: Path, module: str) -> bool:
    return any(module in _imported(path) for path in folder.rglob("*.py"))


def _imported(path: Path) -> set[str]:
    """Return the first names of what a file imports, wherever in it."""
    found: set[str] = set()

    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.partition(".")[0])

    return found
