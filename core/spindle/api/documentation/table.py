"""The documentation of every route of the control plane, by method and path."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from spindle.api.documentation.catalog import catalog
from spindle.api.documentation.definitions import definitions
from spindle.api.documentation.operations import operations
from spindle.api.documentation.people import people
from spindle.api.documentation.spending import spending

if TYPE_CHECKING:
    from spindle_spi.operation import OperationDoc

_AREAS: Final = {
    "people": people,
    "catalog": lambda: {**catalog(), **definitions()},
    "spending": spending,
    "operations": operations,
}


@cache
def table() -> dict[str, OperationDoc]:
    """Return what is said of each route, listed under its area."""
    return {
        route: replace(said, tag=said.tag or area)
        for area, make in _AREAS.items()
        for route, said in make().items()
    }


def documented(method: str, path: str) -> OperationDoc:
    """Return what is said of a route.

    Raises:
        KeyError: Nothing is.
    """
    return table()[f"{method} {path}"]
