"""Locating and replacing top-level members of JSON in bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_llm.members import DuplicateKey, EscapedKeys, locate, splice

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=5)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]))
def test_every_value_is_found_where_it_stands(
    value: JsonObject, ascii_only: bool, indent: int | None
) -> None:
    """Whatever the spacing and escaping, the place of a key holds its value."""
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    members = locate(body)
    found: dict[str, Json] = {key: json.loads(body[a:b]) for key, (a, b) in members.items()}
    assert found == value


@given(OBJECTS, st.dictionaries(TEXT, VALUES, max_size=3))
def test_a_splice_changes_what_it_names_and_nothing_else(
    value: JsonObject, changes: JsonObject
) -> None:
    """Replaced and added members read as given; all others as before."""
    body = json.dumps(value, indent=1).encode()
    new = {key: json.dumps(entry).encode() for key, entry in changes.items()}
    assert json.loads(splice(body, locate(body), new)) == {**value, **changes}


@given(OBJECTS.filter(bool), st.data())
def test_a_key_said_twice_is_always_seen(value: JsonObject, data: st.DataObject) -> None:
    """A second member of the same name is refused, wherever and with whatever value."""
    key = data.draw(st.sampled_from(sorted(value)))
    pairs = [*value.items(), (key, data.draw(VALUES))]
    pairs = data.draw(st.permutations(pairs))
    text = ",".join(f"{json.dumps(name)}:{json.dumps(entry)}" for name, entry in pairs)

    with pytest.raises(DuplicateKey) as caught:
        locate(f"{{{text}}}".encode())

    assert caught.value.key == key


def test_equal_values_do_not_hide_a_second_key() -> None:
    """Two members that are equal to the letter are still two."""
    with pytest.raises(DuplicateKey, match="a"):
        locate(b'{"a":1,"a":1}')


def test_a_second_key_with_escapes_is_seen() -> None:
    """An escaped spelling of a key is that key."""
    with pytest.raises(DuplicateKey, match="model"):
        locate(b'{"model":"a","\\u006dodel":"b"}')


def test_keys_with_escapes_are_told() -> None:
    """The caller learns which keys were not written plainly."""
    members = locate(b'{"a":1,"\\u0062":2}')
    assert isinstance(members, EscapedKeys)
    assert members.escaped == {"b"}
    assert not isinstance(locate(b'{"a":"\\u0062"}'), EscapedKeys)


@pytest.mark.parametrize("text", [b"{}", b"{ }", b" {\n}\t"])
def test_an_empty_object_has_no_members(text: bytes) -> None:
    """Nothing is found, and something can be added."""
    assert locate(text) == {}
    assert json.loads(splice(text, {}, {"a": b"1", "b": b"2"})) == {"a": 1, "b": 2}


def test_a_number_nobody_can_hold_does_not_hide_a_second_key() -> None:
    """The slow look for the message gives up; the refusal stays."""
    number = b"1" * 5000

    with pytest.raises(DuplicateKey):
        locate(b'{"a":' + number + b',"a":' + number + b"}")
