"""Secrets do not show."""

from __future__ import annotations

import pytest

from spindle_spi.secret import Secret


@pytest.mark.parametrize("rendering", ["{}", "{!r}", "{:>30}", "{!s}"])
def test_a_secret_renders_as_stars(rendering: str) -> None:
    """However it gets into a text."""
    assert "hush" not in rendering.format(Secret("hush"))
    assert "***" in rendering.format(Secret("hush"))


def test_a_secret_compares_and_hashes_by_its_value() -> None:
    """So that it can be a key, and be tested for presence."""
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a")
    assert not Secret("")
    assert Secret("a").reveal() == "a"
