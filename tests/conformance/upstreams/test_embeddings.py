"""Scripted vectors, right and wrong."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from spindle_conformance.upstreams.embeddings import (
    DIMENSIONS,
    MODELS,
    openai_embeddings,
    vector,
    wanted_in,
)


def _told(model: str, value: Any = None, **more: Any) -> Any:
    value = ["a", "b"] if value is None else value
    wanted = wanted_in({"model": model, "input": value, **more})
    assert wanted is not None
    return openai_embeddings(wanted)


def test_a_vector_follows_from_its_text() -> None:
    """The same text has the same vector, another text another; the length is what is asked for."""
    assert vector("a") == vector("a") != vector("b")
    assert (len(vector("a")), len(vector("a", 192))) == (DIMENSIONS, 192)
    assert all(-1 <= number < 1 for number in vector("a", 192))


def test_base64_holds_the_same_numbers() -> None:
    """In 32 bits, the least byte first."""
    (entry,) = _told("embed", "a", encoding_format="base64")["data"]

    assert struct.unpack("<8f", base64.b64decode(entry["embedding"])) == tuple(vector("a"))


@pytest.mark.parametrize("value", ["a", ["a", "b"], [1, 2, 3], [[1, 2], [3]]])
def test_every_form_of_input_is_read(value: Any) -> None:
    """A text, texts, tokens, lists of tokens."""
    count = 2 if value in (["a", "b"], [[1, 2], [3]]) else 1

    assert len(_told("embed", value)["data"]) == count


@pytest.mark.parametrize("value", ["", [], ["a", ""], None, 3])
def test_no_input_is_none(value: Any) -> None:
    """Nor is an empty text among others."""
    assert wanted_in({"model": "embed", "input": value}) is None
    assert wanted_in({"input": "a"}) is None


def test_models_are_wrong_in_their_own_ways() -> None:
    """Floats though base64 was asked for, a dimension or a vector less, reversed, uncounted."""
    told = {model: _told(model, encoding_format="float") for model in MODELS}
    floats = _told("embed-float", encoding_format="base64")

    assert isinstance(floats["data"][0]["embedding"], list)
    assert len(told["embed-wrong-dimension"]["data"][0]["embedding"]) == DIMENSIONS - 1
    assert len(told["embed-fewer"]["data"]) == 1
    assert [entry["index"] for entry in told["embed-shuffled"]["data"]] == [1, 0]
    assert told["embed-shuffled"]["data"][0]["embedding"] == vector("b")
    assert told["embed-usage-zero"]["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
    assert "usage" not in told["embed-usage-less"]
