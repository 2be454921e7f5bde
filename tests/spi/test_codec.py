"""The codec: what goes over a transport comes back the same, and nothing else goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_spi.annotations import Annotation, fields_of, options_of
from spindle_spi.codec import decode, encode
from spindle_spi.context import Subject
from spindle_spi.errors import Category, InvalidArgument
from spindle_spi.records import CatalogRecord, Kind, ModelSpec, RecordSpec, ServerSpec
from spindle_spi.secret import Secret
from spindle_spi.types import Json, JsonObject
from tests.spi.derived import briefly, values_of, wire_types


@dataclass(frozen=True, slots=True, kw_only=True)
class Everything:
    """One field for each form an annotation may have."""

    json: Json
    json_object: JsonObject
    maybe_json: JsonObject | None
    number: float
    maybe_number: float | None
    scalars: tuple[bool, ...]
    sequence: Sequence[int]
    pairs: tuple[tuple[str, int], ...]
    named: dict[str, Subject]
    labels: Mapping[str, str] | None
    by_category: Mapping[Category, tuple[str, ...]]
    spec: RecordSpec
    maybe_spec: ModelSpec | ServerSpec | None
    maybe_subject: Subject | None
    kind: Kind | None
    secret: Secret | None
    data: bytes


FORM: dict[str, Annotation] = dict(fields_of(Everything))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wide(Subject):
    """A subclass of a type of the contract."""

    more: str = ""


@pytest.mark.parametrize("kind", [*wire_types(), Everything], ids=str)
@given(data=st.data())
@briefly
def test_every_type_comes_back_as_it_went(kind: Annotation, data: st.DataObject) -> None:
    """Value and types of all its parts are the same, down to tuples and enum keys."""
    value = data.draw(values_of(kind))
    received: object = decode(encode(value, kind), kind)
    assert received == value
    assert repr(received) == repr(value)


def test_whole_numbers_pass_where_a_number_is_asked_for() -> None:
    """An int given for a float arrives as a float, optional or not."""
    assert repr(decode(encode(30, FORM["number"]), FORM["number"])) == "30.0"
    assert repr(decode(encode(30, FORM["maybe_number"]), FORM["maybe_number"])) == "30.0"


def test_a_union_of_types_says_which_one_it_is() -> None:
    """The name of the class goes along, and only there."""
    assert encode(ServerSpec(slug="team"), FORM["spec"]).startswith(b'{"$type":"ServerSpec"')
    assert b"$type" not in encode(Subject(), FORM["maybe_subject"])
    assert options_of(FORM["kind"]) == (Kind, type(None))


def test_unknown_fields_are_skipped_and_absent_ones_take_their_default() -> None:
    """An older and a newer peer understand each other."""
    assert decode(b'{"is_admin":true,"shoe_size":44}', Subject) == Subject(is_admin=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("json", {1: "a key that is no string"}),
        ("json", ["deep", {"set": {1}}]),
        ("json", float("nan")),
        ("json_object", {"infinite": float("inf")}),
        ("json_object", ["no object"]),
        ("number", True),
        ("number", "1.5"),
        ("maybe_number", "1.5"),
        ("scalars", (1,)),
        ("scalars", [True]),
        ("sequence", "text"),
        ("sequence", b"bytes"),
        ("sequence", 1),
        ("pairs", (("a", 1, 2),)),
        ("pairs", (["a", 1],)),
        ("named", {1: Subject()}),
        ("named", {"a": {}}),
        ("by_category", {"NOT_FOUND": ()}),
        ("labels", [("a", "b")]),
        ("spec", None),
        ("spec", Subject()),
        ("maybe_spec", Subject()),
        ("maybe_subject", Wide()),
        ("kind", "tool"),
        ("secret", "in the clear"),
        ("data", "text"),
    ],
)
def test_a_value_of_another_type_is_refused(field: str, value: Any) -> None:
    """Nothing is silently turned into something else."""
    with pytest.raises(TypeError):
        encode(value, FORM[field])


def test_json_that_contains_itself_is_refused() -> None:
    """A circle ends in an error, not in a broken stack."""
    circle: list[Any] = []
    circle.append(circle)

    with pytest.raises(TypeError, match="no JSON"):
        encode(circle, FORM["json"])


@pytest.mark.parametrize(
    "kind", [object, complex, set[str], dict[int, str], str | int, Subject | str | bytes]
)
def test_a_type_without_a_wire_form_is_refused(kind: Annotation) -> None:
    """Whoever adds such a type to the contract learns it at the first call."""
    with pytest.raises(TypeError, match="no wire form"):
        encode("value", kind)

    with pytest.raises(TypeError, match="no wire form"):
        decode(b'"value"', kind)


@pytest.mark.parametrize(
    ("field", "data"),
    [
        ("json", b"{"),
        ("json", b"\xff"),
        ("json", b"[NaN]"),
        ("json", b"[" * 100_000),
        ("number", b'"1"'),
        ("number", b"true"),
        ("scalars", b'{"a":1}'),
        ("scalars", b"[1]"),
        ("pairs", b'[["a"]]'),
        ("named", b"[]"),
        ("named", b'{"a":3}'),
        ("by_category", b'{"NO_SUCH":[]}'),
        ("spec", b"null"),
        ("spec", b'"text"'),
        ("spec", b"{}"),
        ("spec", b'{"$type":"Unheard"}'),
        ("spec", b'{"$type":["ServerSpec"]}'),
        ("spec", b'{"$type":"ServerSpec"}'),
        ("maybe_subject", b"3"),
        ("kind", b'"sock"'),
        ("kind", b"[]"),
        ("secret", b"3"),
        ("data", b'"%%"'),
        ("data", b"3"),
    ],
)
def test_bytes_that_are_not_the_type_are_refused(field: str, data: bytes) -> None:
    """Each is an InvalidArgument with a code of the codec."""
    with pytest.raises(InvalidArgument) as caught:
        decode(data, FORM[field])

    assert caught.value.code.startswith("spi.codec.")


def test_a_refusal_names_the_place() -> None:
    """The path of the field stands in the message."""
    with pytest.raises(InvalidArgument, match=r"CatalogRecord\.spec: ToolsetSpec\.tools: expected"):
        decode(b'{"spec":{"$type":"ToolsetSpec","tools":3}}', CatalogRecord)
