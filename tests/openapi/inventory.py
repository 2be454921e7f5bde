"""What is installed here as one route table, and its document: the same that `serve` mounts."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from spindle.ingress.core_routes import core_inventory
from spindle.ingress.routes import RouteTable
from spindle.loader import discover
from spindle.openapi.document import document_of

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

METHODS = ("get", "post", "put", "patch", "delete")


@cache
def table() -> RouteTable:
    return RouteTable([core_inventory(), *(module.source() for module in discover().modules)])


@cache
def document() -> JsonObject:
    return document_of(table().mounts, version="0")


def obj(value: Json) -> JsonObject:
    assert isinstance(value, dict)
    return value


def operations(found: JsonObject | None = None) -> dict[str, JsonObject]:
    """Return every operation of a document by its label, `GET /health`."""
    paths = obj((document() if found is None else found)["paths"])
    return {
        f"{method.upper()} {path}": obj(operation)
        for path, item in paths.items()
        for method, operation in obj(item).items()
        if method in METHODS
    }
