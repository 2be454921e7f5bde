"""`options` of gateways with `transport: openapi`: which document, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, ValidationError

from spindle.config.faults import Fault, Path, describe_type, model_fault
from spindle.config.sections import Section, Text, check_url, refuse

TRANSPORT = "openapi"
_MAX_INLINE = 1024 * 1024
_PORTS = {"http": 80, "https": 443}


def _check_document(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return check_url(value)

    if not isinstance(value, dict):
        raise refuse(describe_type(value), "the URL of a document, or the document itself")

    if len(json.dumps(value)) > _MAX_INLINE:
        raise refuse(f"is longer than {_MAX_INLINE} bytes", "its URL instead")

    return value


class OperationSelection(Section):
    """`include` and `exclude`: an operation of any of these words."""

    operations: tuple[Text, ...] = ()
    """By `operationId`, or method and path as the tool is called without one."""
    tags: tuple[Text, ...] = ()
    methods: tuple[Literal["get", "put", "post", "delete", "options", "head", "patch"], ...] = ()


class OpenApiOptions(Section):
    """Everything that may stand in `options`."""

    document: Annotated[JsonValue, AfterValidator(_check_document)] = Field(default=None)
    """A URL, or the document itself."""
    file: Text | None = None
    """From configuration only; a relative path starts at the file that names it."""
    include: OperationSelection = OperationSelection()
    exclude: OperationSelection = OperationSelection()
    max_operations: Annotated[int, Field(ge=1, le=10_000)] = 1000
    security_scheme: Text | None = None
    document_auth: Literal["none", "bearer"] = "none"
    encoded_slashes: bool = False
    output_schemas: bool = True


def openapi_faults(
    path: Path, options: dict[str, JsonValue], url: str | None, *, is_configured: bool
) -> Iterator[Fault]:
    """Return what is wrong with the options of a gateway that is described by a document."""
    path = (*path, "options")
    given = {key: value for key, value in options.items() if value is not None}

    try:
        read = OpenApiOptions.model_validate_json(json.dumps(given))
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            fault = model_fault(error, OpenApiOptions)
            yield replace(fault, path=(*path, *fault.path))

        return

    yield from _source_faults(path, read, url, is_configured=is_configured)

    if read.document_auth == "bearer" and not _is_signed(read.document, url):
        yield Fault(
            path=(*path, "document_auth"),
            problem="the document is on another host than the API, which the credential is for",
            expected="none, or both on one host",
        )


def _source_faults(
    path: Path, read: OpenApiOptions, url: str | None, *, is_configured: bool
) -> Iterator[Fault]:
    if read.file is not None and not is_configured:
        yield Fault(
            path=(*path, "file"),
            problem="files are read only for gateways of the configuration",
            expected="document: a URL, or the document itself",
        )
    elif read.file is not None and read.document is not None:
        yield Fault(path=(*path, "file"), problem="there is a document as well", expected="one")
    elif read.file is None and read.document is None:
        words = "the URL of an OpenAPI document, or the document itself"
        yield Fault(path=(*path, "document"), problem="is missing", expected=words)

    # Who may be asked is judged when the record is made, and not what a document says later.
    if isinstance(read.document, dict) and url is None and not is_configured:
        yield Fault(
            path=(*path[:-1], "url"),
            problem="is missing",
            expected="the base URL of the API, beside a document that has none of its own",
        )


def _is_signed(document: JsonValue, url: str | None) -> bool:
    return isinstance(document, str) and (url is None or _origin(document) == _origin(url))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
