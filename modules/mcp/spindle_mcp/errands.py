"""What reading a resource, rendering a prompt or completing an argument asks of an upstream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_mcp.matching import TemplateMatch
from spindle_mcp.results import COMPLETE, GET, READ, completion_result, prompt_result, read_result
from spindle_mcp.uris import unscoped
from spindle_spi.errors import InvalidArgument, Unsupported
from spindle_spi.records import PromptSpec, ResourceSpec, ResourceTemplateSpec
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from spindle_spi.records import CatalogRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One request to one upstream."""

    gateway: str
    method: str
    params: JsonObject
    read: Callable[[JsonObject, str], JsonObject]
    """Makes the neutral payload of the upstream's answer."""
    name: str | None = None
    """What the header `Mcp-Name` says."""


def reading(gateway: str, uri: str) -> Errand:
    """Return the errand of reading a resource, by its upstream's URI."""
    return Errand(gateway=gateway, method=READ, params={"uri": uri}, name=uri, read=read_result)


def rendering(spec: PromptSpec, arguments: JsonObject | None) -> Errand:
    """Return the errand of rendering a prompt."""
    params: JsonObject = {"name": spec.upstream_name}

    if arguments is not None:
        params["arguments"] = arguments

    return Errand(
        gateway=spec.gateway, method=GET, params=params, name=spec.upstream_name, read=prompt_result
    )


def completing(gateway: str, ref: JsonObject, asked: JsonObject) -> Errand:
    """Return the errand of completing an argument; `ref` is in the upstream's own words."""
    return Errand(
        gateway=gateway, method=COMPLETE, params={"ref": ref, **asked}, read=completion_result
    )


def invoked(record: CatalogRecord, arguments: JsonObject) -> Errand:
    """Return the errand for an invocation's neutral arguments (see `Invocation`).

    A resource is named by the URI its record has here; one that a template stands for has to be.

    Raises:
        InvalidArgument: The arguments are not what the record takes.
        Unsupported: The record is of another kind.
    """
    match record.spec:
        case ResourceSpec() as spec:
            if arguments.get("uri", record.name) != record.name:
                raise _not_its_uri(record)

            return reading(spec.gateway, spec.uri)
        case ResourceTemplateSpec() as spec:
            said = arguments.get("uri")
            named = unscoped(said) if isinstance(said, str) else None

            if named is None or named[0] != spec.gateway or not _takes(spec, named[1]):
                raise _not_its_uri(record)

            return reading(spec.gateway, named[1])
        case PromptSpec() as spec:
            given = arguments.get("arguments")

            if given is not None and not isinstance(given, dict):
                raise InvalidArgument("The arguments of a prompt are an object.", param="arguments")

            return rendering(spec, given)
        case _:
            raise Unsupported(f"A {record.kind.value} is neither read nor rendered here.")


def _takes(spec: ResourceTemplateSpec, uri: str) -> bool:
    try:
        return TemplateMatch(spec.uri_template).takes(uri)
    except ValueError:
        return False


def _not_its_uri(record: CatalogRecord) -> InvalidArgument:
    return InvalidArgument(f"The URI is none of {record.name!r}.", param="uri")
