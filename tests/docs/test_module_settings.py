"""The page of the modules' settings names each key of their schemas, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spindle_llm.module import LlmModule
from spindle_mcp.module import McpModule

if TYPE_CHECKING:
    from spindle_spi.module import Module

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/modules.md"


@pytest.mark.parametrize("module", [LlmModule(), McpModule()], ids=["llm", "mcp"])
def test_the_page_names_each_key_and_no_other(module: Module) -> None:
    """A setting that is not documented does not exist."""
    section = module.descriptor.module_id
    properties = module.config_schema["properties"]
    assert isinstance(properties, dict)
    named = re.findall(rf"^\| `{section}\.([a-z_]+)`", PAGE.read_text(), re.MULTILINE)
    assert sorted(named) == sorted(properties)
