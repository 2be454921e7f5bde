"""Frozen dataclasses that are made for every call, made faster.

A frozen dataclass assigns each field by `object.__setattr__`, which costs three times as much as an
assignment. Here the fields are assigned while the object is of a twin class that is not frozen;
before anybody gets hold of it, it is of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

_T = TypeVar("_T")

_Init = Callable[..., None]


def quickly_made(cls: type[_T]) -> type[_T]:
    """Give a dataclass with slots, plain defaults and keywords only a faster `__init__`.

    Raises:
        TypeError: It is a dataclass of another kind.
    """
    shape: Any = cls
    slots: tuple[str, ...] = shape.__slots__
    its_fields = fields(shape)
    names = tuple(field.name for field in its_fields)

    if slots != names or hasattr(cls, "__post_init__") or not all(map(_is_plain, its_fields)):
        raise TypeError(f"{cls.__name__} cannot be made quickly.")

    slow: _Init = shape.__init__
    fast = _written(cls, names, slow)
    fast.__kwdefaults__ = slow.__kwdefaults__
    fast.__annotations__ = slow.__annotations__
    fast.__qualname__ = slow.__qualname__
    fast.__module__ = cls.__module__
    shape.__init__ = fast
    return cls


def _written(cls: type[object], names: tuple[str, ...], slow: _Init) -> Any:
    lines = [
        "def write(own, slow, become, twin):",
        f"    def __init__(self, *, {', '.join(names)}):",
        # The twin has the places of this class alone.
        "        if self.__class__ is not own:",
        f"            return slow(self, {', '.join(f'{name}={name}' for name in names)})",
        "        become(self, twin)",
        *(f"        self.{name} = {name}" for name in names),
        "        self.__class__ = own",
        "    return __init__",
    ]
    twin = type(f"_{cls.__name__}", (), {"__slots__": names})
    become = object.__dict__["__class__"].__set__
    written: dict[str, Any] = {}
    # As `dataclasses` itself does; all that is written into it are names of fields.
    exec("\n".join(lines), vars(sys.modules[cls.__module__]), written)
    return written["write"](cls, slow, become, twin)


def _is_plain(field: Field[Any]) -> bool:
    return field.init and field.kw_only and field.default_factory is MISSING
