"""The page on adding a provider shows an adapter that works, and the file that proves it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from spindle_llm.providers.registry import adapters_in
from tests.llm.support.fixtures import prove, read

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).resolve().parents[2] / "docs"
EXAMPLE = DOCS / "examples/acme.py"
FIXTURE = DOCS / "examples/acme.json"
PAGE = DOCS / "add-a-provider.md"


async def test_the_adapter_of_the_page_is_what_its_file_says() -> None:
    """It is loaded from where it stands, and proven like any other."""
    wanted = importlib.util.spec_from_file_location("acme", EXAMPLE)
    assert wanted is not None
    assert wanted.loader is not None
    module = importlib.util.module_from_spec(wanted)
    wanted.loader.exec_module(module)
    (kind,) = adapters_in(module)
    await prove(kind(), read(FIXTURE))


@pytest.mark.parametrize("path", [EXAMPLE, FIXTURE], ids=lambda path: path.suffix)
def test_the_page_shows_the_files_as_they_are(path: Path) -> None:
    """Nobody copies what does not work."""
    assert path.read_text() in PAGE.read_text()
