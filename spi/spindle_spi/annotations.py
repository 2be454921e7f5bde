"""Reading the annotations of the contract: what the codec and the `.proto` generator go by."""

from __future__ import annotations

import dataclasses
import types
from enum import EnumType
from functools import lru_cache
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

Annotation: TypeAlias = Any
"""A type as it stands in an annotation: a class, a union, `tuple[str, ...]`, …"""


def is_json(kind: Annotation) -> bool:
    """Tell whether an annotation is the `Json` alias."""
    return kind is Any


def options_of(kind: Annotation) -> tuple[Annotation, ...]:
    """Return the members of a union, or the type itself."""
    is_union = origin_of(kind) in (Union, types.UnionType)
    return get_args(kind) if is_union else (kind,)


def origin_of(kind: Annotation) -> Annotation:
    """Return the class of a parametrised type (`tuple` of `tuple[str, ...]`), else None."""
    return get_origin(kind)


@lru_cache(maxsize=1024)
def fields_of(kind: Annotation) -> tuple[tuple[str, Annotation], ...]:
    """Return the wire fields of a dataclass: name and resolved annotation, in order."""
    hints = get_type_hints(kind)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(kind))


def is_dataclass(kind: Annotation) -> bool:
    """Tell whether an annotation is a dataclass."""
    return dataclasses.is_dataclass(kind)


def is_enum(kind: Annotation) -> bool:
    """Tell whether an annotation is an enum."""
    return isinstance(kind, EnumType)


def is_optional(kind: Annotation) -> bool:
    """Tell whether a union has None among its members."""
    return type(None) in options_of(kind)


def split_union(kind: Annotation) -> tuple[dict[str, Annotation], Annotation | None]:
    """Return the members that are told apart by their names, and the one that needs no telling.

    Raises:
        TypeError: More than one is neither None nor one of several dataclasses.
    """
    members = [option for option in options_of(kind) if option is not type(None)]
    classes = [option for option in members if is_dataclass(option)]
    tagged = {option.__name__: option for option in classes if len(classes) > 1}
    others = [option for option in members if option not in tagged.values()]

    if len(others) > 1:
        raise no_wire_form(kind)

    return tagged, others[0] if others else None


def entries_of(kind: Annotation) -> tuple[Annotation, Annotation]:
    """Return the kinds of key and value of a mapping.

    Raises:
        TypeError: The keys are not strings.
    """
    key, value = get_args(kind)

    if not issubclass(key, str):
        raise no_wire_form(kind)

    return key, value


def no_wire_form(kind: Annotation) -> TypeError:
    """Return the error for a type that cannot cross a transport."""
    return TypeError(f"{kind!r} has no wire form")
