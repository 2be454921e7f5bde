"""Quickly made dataclasses are what the plain ones are: frozen, equal, hashable, of their class."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from spindle_spi._construction import quickly_made
from spindle_spi.admission import Attempt, Estimate, Outcome, Permit, TokenUsage
from spindle_spi.context import AuthenticatedContext, TraceContext
from spindle_spi.records import Target
from tests.spi.derived import sample_of

QUICK = (
    Attempt,
    AuthenticatedContext,
    Estimate,
    Outcome,
    Permit,
    Target,
    TokenUsage,
    TraceContext,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """The same without being quick."""

    name: str
    number: int = 3


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Quick:
    """A dataclass of two fields."""

    name: str
    number: int = 3


class Derived(Quick):
    """A subclass that adds nothing, and has a dictionary."""


@pytest.mark.parametrize("kind", QUICK, ids=lambda kind: kind.__name__)
def test_made(kind: type[object]) -> None:
    """What is made is of its own class, frozen, and equal to its copies."""
    made = sample_of(kind)

    assert type(made) is kind
    assert copy.deepcopy(made) == made
    assert pickle.loads(pickle.dumps(made)) == made

    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(made)[0].name, None)  # type: ignore[arg-type]


def test_defaults() -> None:
    """A default stands where nothing is given, and the signature says so."""
    assert Quick(name="a") == Quick(name="a", number=3)
    assert hash(Quick(name="a")) == hash(Quick(name="a"))
    assert replace(Quick(name="a"), number=4) == Quick(name="a", number=4)
    assert inspect.signature(Quick) == inspect.signature(Plain)


@pytest.mark.parametrize("arguments", [{}, {"name": "a", "other": 1}], ids=["missing", "unknown"])
def test_wrong_arguments(arguments: dict[str, object]) -> None:
    """A missing or unknown argument is the same error as of a plain one."""
    with pytest.raises(TypeError) as plain:
        Plain(**arguments)  # type: ignore[arg-type]

    with pytest.raises(TypeError) as quick:
        Quick(**arguments)  # type: ignore[arg-type]

    assert str(quick.value) == str(plain.value).replace("Plain", "Quick")


def test_subclass() -> None:
    """An object of a subclass is of the subclass."""
    made = Derived(name="a")

    assert type(made) is Derived
    assert (made.name, made.number) == ("a", 3)


def test_other_kinds() -> None:
    """A dataclass that could not be made like that is refused when it is defined."""
    with pytest.raises(TypeError, match="Listed cannot be made quickly"):

        @quickly_made
        @dataclass(frozen=True, slots=True, kw_only=True)
        class Listed:
            names: list[str] = field(default_factory=list[str])

    with pytest.raises(TypeError, match="Checked cannot be made quickly"):

        @quickly_made
        @dataclass(frozen=True, slots=True, kw_only=True)
        class Checked:
            name: str

            def __post_init__(self) -> None:
                """Check nothing."""

    with pytest.raises(TypeError, match="Placed cannot be made quickly"):

        @quickly_made
        @dataclass(frozen=True, slots=True)
        class Placed:
            name: str
