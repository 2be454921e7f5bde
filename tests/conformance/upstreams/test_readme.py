"""What the kit's README says of the simulators is so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spindle_conformance.upstreams.embeddings import MODELS
from spindle_conformance.upstreams.repertoire import act_names
from spindle_conformance.upstreams.simulator import Quirk
from spindle_conformance.upstreams.simulators import SIMULATORS

README = (Path(__file__).parents[3] / "conformance" / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## Wire simulators")[2].partition("\n## ")[0]


def _blocks() -> list[str]:
    return [part.partition("```")[0] for part in SECTION.split("```python\n")[1:]]


@pytest.mark.anyio
async def test_the_examples_run() -> None:
    """The test in it passes, and each dialect that says the answer writes it."""
    names: dict[str, Any] = {}

    for block in _blocks():
        exec(compile(block, "README.md", "exec"), names)

    await names["test_my_adapter_sends_a_limit"]()
    assert b"get_weather" in names["stream"]


def test_every_name_is_told_of() -> None:
    """Dialects, quirks and models; of refusals by status the range."""
    names = [name for name in act_names() if not name.removeprefix("error-").isdigit()]

    for name in (*SIMULATORS, *Quirk, *MODELS, *names):
        assert f"`{name}`" in SECTION, name
