"""The operations of a document, as far as they can be called. One that cannot hurts no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spindle_mcp.upstream.openapi.bodies import Body, read_body
from spindle_mcp.upstream.openapi.faults import LeftOut
from spindle_mcp.upstream.openapi.names import name_of
from spindle_mcp.upstream.openapi.parameters import Parameter, read_parameters
from spindle_mcp.upstream.openapi.references import References, Unresolvable
from spindle_mcp.upstream.openapi.security import Scheme, Security
from spindle_mcp.upstream.openapi.servers import has_dots, server_of
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_mcp.upstream.openapi.options import OpenApiOptions, Selection

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation that can be called."""

    name: str
    """As the document calls it, else made of method and path."""
    method: str
    """In upper case."""
    path: str
    server: str
    """Address that the path is added to."""
    parameters: tuple[Parameter, ...]
    body: Body | None
    scheme: Scheme | None
    responses: JsonObject
    title: str | None
    description: str | None
    is_deprecated: bool

    @property
    def place(self) -> str:
        """Method and path, which no other operation of the document has."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The operations of a document, and what was left out of it with the reason."""

    operations: tuple[Operation, ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raw:
    method: str
    path: str
    said: JsonObject
    shared: JsonObject

    @property
    def name(self) -> str:
        identity = self.said.get("operationId")
        return name_of(identity if isinstance(identity, str) else None, self.method, self.path)


def find_operations(
    document: JsonObject,
    references: References,
    security: Security,
    options: OpenApiOptions,
    base: str,
) -> Found:
    """Return the operations that were asked for, in the document's order."""
    wanted = [raw for raw in _raw(document, references) if _is_wanted(raw, options)]
    operations: list[Operation] = []
    left_out: list[tuple[str, str]] = []

    for raw in wanted[: options.max_operations]:
        try:
            operations.append(_operation(raw, references, security, base))
        except LeftOut as exc:
            left_out.append((raw.name, str(exc)))

    beyond = len(wanted) - options.max_operations

    if beyond > 0:
        # One line for all of them: a list that is too long is not worth a thousand lines.
        reason = f"more than max_operations, which is {options.max_operations}"
        left_out.append((f"{beyond} operations", reason))

    return Found(operations=tuple(operations), left_out=tuple(left_out))


def _raw(document: JsonObject, references: References) -> Iterator[_Raw]:
    paths = document.get("paths")

    for path, item in paths.items() if isinstance(paths, dict) else ():
        try:
            shared = references.followed(item)
        except Unresolvable:
            continue

        for method in _METHODS:
            said = shared.get(method)

            if isinstance(said, dict):
                yield _Raw(method=method, path=path, said=said, shared=shared)


def _is_wanted(raw: _Raw, options: OpenApiOptions) -> bool:
    is_included = not options.include or _is_in(raw, options.include)
    return is_included and not _is_in(raw, options.exclude)


def _is_in(raw: _Raw, selection: Selection) -> bool:
    tags = raw.said.get("tags")
    words = {tag for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set[str]()
    return bool(
        raw.name in selection.operations
        or raw.method in selection.methods
        or words & selection.tags
    )


def _operation(raw: _Raw, references: References, security: Security, base: str) -> Operation:
    said = raw.said
    parameters = read_parameters(
        references, raw.shared.get("parameters"), said.get("parameters"), security.hidden()
    )
    _check_path(raw.path, parameters)
    has_body = raw.method not in ("get", "head") or "requestBody" in said
    responses = said.get("responses")
    return Operation(
        name=raw.name,
        method=raw.method.upper(),
        path=raw.path,
        server=_server(raw, base),
        parameters=tuple(parameters),
        body=read_body(references, said.get("requestBody")) if has_body else None,
        scheme=security.scheme_for(said),
        responses=responses if isinstance(responses, dict) else {},
        title=_text(said.get("summary")) or _text(raw.shared.get("summary")),
        description=_text(said.get("description")) or _text(raw.shared.get("description")),
        is_deprecated=said.get("deprecated") is True,
    )


def _server(raw: _Raw, base: str) -> str:
    try:
        return server_of(raw.said if "servers" in raw.said else raw.shared, base)
    except ValueError as exc:
        raise LeftOut(str(exc)) from exc


def _check_path(path: str, parameters: list[Parameter]) -> None:
    if not path.startswith("/") or set(path) & set("?#\\") or has_dots(path):
        raise LeftOut("its path is no plain path")

    rest = path

    for parameter in parameters:
        if parameter.place == "path":
            rest = rest.replace(f"{{{parameter.name}}}", "")

    if "{" in rest or "}" in rest:
        raise LeftOut("its path names a parameter that is not described")


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
