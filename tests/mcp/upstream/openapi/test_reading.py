"""Documents as bytes: JSON and YAML, and what is neither."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_mcp.upstream.openapi import reading
from spindle_mcp.upstream.openapi.reading import read_document

if TYPE_CHECKING:
    from spindle_spi.types import Json

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_json_is_read_as_it_is(document: dict[str, Json]) -> None:
    """Whatever is in it."""
    assert read_document(json.dumps(document).encode()) == document


def test_yaml_means_what_json_would() -> None:
    """Codes and dates stay text as keys and values, `yes` is a word, numbers are numbers."""
    text = b"""
openapi: 3.0.3
info: {version: 2024-01-02, title: 'no'}
paths:
  /a:
    get:
      responses:
        200: {description: yes}
        default: &shared {x: [1, 2.5, -3e2, 0x10, 012, true, null, ~, "1"]}
      merged: {<<: *shared, y: 1}
      again: *shared
      long: |
        two
        lines
"""
    found = read_document(text)
    shared = {"x": [1, 2.5, -300.0, "0x10", "012", True, None, None, "1"]}
    assert found["openapi"] == "3.0.3"
    assert found["info"] == {"version": "2024-01-02", "title": "no"}
    assert found["paths"] == {
        "/a": {
            "get": {
                "responses": {"200": {"description": "yes"}, "default": shared},
                "merged": {"y": 1, **shared},
                "again": shared,
                "long": "two\nlines\n",
            }
        }
    }


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "neither a JSON nor a YAML object"),
        (b"[1]", "neither a JSON nor a YAML object"),
        (b"just words", "neither a JSON nor a YAML object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: [", "neither JSON nor YAML"),
        (b"a: 1\n---\nb: 2", "more than one document"),
        (b"? [a]\n: b", "a key that is no text"),
        (b"a: &x 1\n*x : b", "a key that is no text"),
        (b'{"a": ' + b"[" * 100_000, "neither|deep"),
        (b"a: " + b"[" * 300 + b"]" * 300, "levels deep|neither"),
        (b"a: " + b" " * (reading.MAX_BYTES + 1), "longer than"),
    ],
)
def test_what_is_no_document_is_refused_with_the_reason(data: bytes, problem: str) -> None:
    """And not by running out of stack."""
    with pytest.raises(ValueError, match=problem):
        read_document(data)


def test_aliases_count_as_what_they_stand_for() -> None:
    """Nine lines that mean a thousand million nodes are refused at once."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]

    with pytest.raises(ValueError, match="far too big"):
        read_document("\n".join(lines).encode())


def test_infinities_are_no_numbers() -> None:
    """A number JSON has no word for stays text."""
    assert read_document(b"a: 1e999\nb: .inf") == {"a": "1e999", "b": ".inf"}
