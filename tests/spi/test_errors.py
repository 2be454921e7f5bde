"""The error tree, and how an error crosses a transport."""

from __future__ import annotations

import inspect

import pytest

from spindle_spi import errors
from spindle_spi.codec import decode, encode
from spindle_spi.errors import (
    Category,
    ConfigError,
    Conflict,
    ErrorEnvelope,
    GatewayError,
    Internal,
    NotFound,
    Origin,
    PermissionDenied,
    base_of,
    from_envelope,
    shortened,
)

TREE = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, GatewayError) and kind is not GatewayError
]


class ModelNotFound(NotFound):
    """A module's own error below one of the tree."""

    default_code = "llm.model.not_found"


class Clash(GatewayError):
    """A module's own error beside the tree."""

    category = Category.CONFLICT
    default_code = "acme.clash"


def crossed(error: GatewayError) -> GatewayError:
    """Return an error as the other end of a transport sees it."""
    return from_envelope(decode(encode(error.envelope(), ErrorEnvelope), ErrorEnvelope))


@pytest.mark.parametrize("kind", TREE)
def test_an_error_crosses_with_its_class_and_every_detail(kind: type[GatewayError]) -> None:
    """Bare or with every detail set, the receiver raises what was raised."""
    full = kind(
        "said",
        code="a.b",
        origin=Origin.UPSTREAM,
        retryable=not kind.default_retryable,
        http_status=418,
        param="model",
        retry_after=1.5,
    )

    for error in (kind("said"), full):
        received = crossed(error)
        assert type(received) is kind
        assert received.envelope() == error.envelope()
        assert str(received) == received.message == "said"


@pytest.mark.parametrize("kind", TREE)
def test_the_tree_in_the_docstring_is_the_tree(kind: type[GatewayError]) -> None:
    """Each class stands in it, with its status."""
    line = next(
        line for line in (errors.__doc__ or "").splitlines() if f" {kind.__name__} " in line
    )
    assert line.endswith(f" {kind.default_status}")


def test_codes_tell_the_classes_apart() -> None:
    """A default code is the name of a class in an envelope."""
    assert len({kind.default_code for kind in TREE}) == len(TREE)


@pytest.mark.parametrize("category", list(Category))
def test_each_category_has_one_base(category: Category) -> None:
    """It stands directly below the root."""
    assert base_of(category).category is category
    assert base_of(category).__base__ is GatewayError


def test_a_class_of_somebody_else_crosses_as_its_nearest_relative() -> None:
    """The receiver need not know a module's own classes; the code stays theirs."""
    received = crossed(ModelNotFound("no"))
    assert type(received) is NotFound
    assert received.code == "llm.model.not_found"
    assert type(crossed(Clash("no"))) is Conflict
    assert type(crossed(GatewayError("no"))) is Internal


def test_an_envelope_with_an_unknown_kind_falls_back_to_its_category() -> None:
    """A peer that knows more classes, or names none, is still understood."""
    envelope = ErrorEnvelope(
        category=Category.PERMISSION_DENIED,
        code="x",
        message="no",
        origin=Origin.POLICY,
        retryable=False,
        http_status=403,
        kind="of.the.future",
    )
    assert type(from_envelope(envelope)) is PermissionDenied


def test_a_configuration_error_carries_every_fault() -> None:
    """One line each."""
    error = ConfigError(["a: wrong", "b: wrong"])
    assert error.faults == ("a: wrong", "b: wrong")
    assert str(error) == "a: wrong\nb: wrong"


def test_an_error_repeats_a_callers_word_only_so_far() -> None:
    """A name of any length makes a message of bounded length."""
    assert shortened("up~model") == "up~model"
    assert len(shortened("x" * 100_000)) == 201
