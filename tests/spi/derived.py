"""Values of any type of the contract, derived from its annotation, and the types themselves."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeGuard, get_args

from hypothesis import settings
from hypothesis import strategies as st

import spindle_spi
from spindle_spi.annotations import Annotation, fields_of, is_enum, is_json, options_of, origin_of
from spindle_spi.ingress import IngressRoute
from spindle_spi.invocation import Streaming
from spindle_spi.module import ModuleContext
from spindle_spi.secret import Secret
from spindle_spi.services import Services

if TYPE_CHECKING:
    from types import ModuleType

bounded = settings(max_examples=60, deadline=None, derandomize=True)
"""For properties of one function."""

briefly = settings(max_examples=25, deadline=None, derandomize=True)
"""For properties that are tried on every type."""

NOT_DATA = {IngressRoute, ModuleContext, Services, Streaming}
"""Dataclasses that hold callables or live objects: they stay in their process."""


def modules_of_the_contract() -> list[ModuleType]:
    """Return every submodule of the package, in the order of their names."""
    found = pkgutil.walk_packages(spindle_spi.__path__, "spindle_spi.")
    return [importlib.import_module(entry.name) for entry in found]


def wire_types() -> list[type]:
    """Return every dataclass of the package that crosses a transport."""
    return [
        kind
        for module in modules_of_the_contract()
        for kind in vars(module).values()
        if isinstance(kind, type)
        and kind.__module__ == module.__name__
        and dataclasses.is_dataclass(kind)
        and kind not in NOT_DATA
    ]


_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _NUMBERS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: _NUMBERS,
    str: st.text(max_size=8),
    bytes: st.binary(max_size=8),
    Secret: st.builds(Secret, st.text(max_size=8)),
    type(None): st.none(),
}


@cache
def values_of(kind: Annotation) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of an annotated type."""
    if is_json(kind):
        return _JSON

    if kind in _PLAIN:
        return _PLAIN[kind]

    if len(options_of(kind)) > 1:
        return st.one_of([values_of(option) for option in options_of(kind)])

    if origin_of(kind) is not None:
        return _collections_of(kind)

    if is_enum(kind):
        return st.sampled_from(kind)

    return st.builds(kind, **{name: values_of(field) for name, field in fields_of(kind)})


def _collections_of(kind: Annotation) -> st.SearchStrategy[Any]:
    arguments = get_args(kind)

    if origin_of(kind) in (dict, Mapping):
        return st.dictionaries(*map(values_of, arguments), max_size=2)

    if origin_of(kind) is tuple and arguments[-1] is not Ellipsis:
        return st.tuples(*map(values_of, arguments))

    return st.lists(values_of(arguments[0]), max_size=2).map(tuple)


_SAMPLES: dict[Any, Any] = {
    bool: True,
    int: 3,
    float: 1.5,
    str: "text",
    bytes: b"bytes",
    Secret: Secret("hush"),
}


def sample_of(kind: Annotation) -> Any:
    """Return one value of an annotated type with nothing left empty; always the same."""
    if is_json(kind):
        return {"list": [1, None]}

    if kind in _SAMPLES:
        return _SAMPLES[kind]

    if len(options_of(kind)) > 1:
        return sample_of(options_of(kind)[0])

    arguments = get_args(kind)

    if origin_of(kind) in (dict, Mapping):
        return {sample_of(arguments[0]): sample_of(arguments[1])}

    if origin_of(kind) in (tuple, Sequence):
        return tuple(sample_of(entry) for entry in arguments if entry is not Ellipsis)

    if is_enum(kind):
        return list(kind)[-1]

    return kind(**{name: sample_of(field) for name, field in fields_of(kind)})


async def settled(value: object) -> object:
    """Return what an operation gives in the end: awaited, or read to its end."""
    if inspect.isawaitable(value):
        value = await value

    return [item async for item in value] if _is_stream(value) else value


def _is_stream(value: object) -> TypeGuard[AsyncIterator[object]]:
    return isinstance(value, AsyncIterator)
