"""Each file of a vendor's wire is what its adapter sends and understands."""

from __future__ import annotations

from pathlib import Path

import pytest

from spindle_llm.providers import registry
from spindle_llm.providers.openai import OpenAiAdapter
from spindle_llm.providers.registry import adapters, adapters_in
from tests.llm.support.fixtures import prove, read

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("001-services")]

FILES = sorted((Path(__file__).parent / "fixtures").glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_an_adapter_does_what_the_file_of_its_vendor_says(path: Path) -> None:
    """Requests, answers, streams at any cut, lists, refusals."""
    await prove(adapters()[path.stem], read(path))


def test_every_adapter_is_found_where_it_is_defined() -> None:
    """By its file alone; what a file imports is not its own."""
    found = adapters()
    assert {"openai", "openai_compatible", "anthropic", "mock", "ollama", "jan"} <= set(found)
    assert all(kind == adapter.provider_type for kind, adapter in found.items())
    assert type(found["openai"]) is OpenAiAdapter
    assert list(adapters_in(registry)) == []
