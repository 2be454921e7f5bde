"""Every provider type this module speaks to: the adapters of the files beside this one.

A new one is a file, and nothing else has to know of it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from spindle_llm import providers
from spindle_llm.providers.base import Adapter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType


def adapters() -> Mapping[str, Adapter]:
    """Return an adapter of each type, by the name provider records use."""
    return {kind.provider_type: kind() for kind in _kinds()}


def adapters_in(module: ModuleType) -> Iterator[type[Adapter]]:
    """Yield the adapters a module defines: those of its classes that name a type of their own."""
    for value in vars(module).values():
        if (
            isinstance(value, type)
            and issubclass(value, Adapter)
            and value.__module__ == module.__name__
            and "provider_type" in vars(value)
        ):
            yield value


@cache
def _kinds() -> tuple[type[Adapter], ...]:
    """Return the adapters of all files; no two of one type.

    Raises:
        TypeError: Two are.
    """
    kinds: dict[str, type[Adapter]] = {}

    for found in iter_modules(providers.__path__):
        name = f"{providers.__name__}.{found.name}"

        if name == __name__:
            continue

        for kind in adapters_in(import_module(name)):
            if kinds.setdefault(kind.provider_type, kind) is not kind:
                raise TypeError(f"Two adapters are of the type {kind.provider_type!r}.")

    return tuple(kinds.values())
