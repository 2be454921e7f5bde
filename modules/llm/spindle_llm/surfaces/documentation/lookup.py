"""Routes with what is said of them, which is loaded when somebody reads it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spindle_spi.ingress import IngressRoute
    from spindle_spi.operation import OperationDoc


def documented(route: IngressRoute) -> IngressRoute:
    """Return a route with its documentation."""
    return replace(route, operation=partial(_operation, f"{route.method} {route.path}"))


def _operation(route: str) -> OperationDoc | None:
    from spindle_llm.surfaces.documentation.table import operation_at

    return operation_at(route)
