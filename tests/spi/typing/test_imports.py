"""The files beside this one are for type-checkers; here only that they are importable."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[!t]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_the_type_only_files_import(name: str) -> None:
    """What they name exists at run time, too."""
    assert importlib.import_module(f"tests.spi.typing.{name}").__doc__


def test_all_of_them_are_there() -> None:
    """So that none is lost by a change of names."""
    assert NAMES == ["mistakes", "module", "plugin", "services"]
