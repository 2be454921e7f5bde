"""The OpenAPI 3.1 document of a route table: every route is in it, documented or not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from spindle.openapi.components import Components
from spindle.openapi.refusals import WORDS, schema_of, statuses_of
from spindle_spi.ingress import PUBLIC, documentation_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spindle.ingress.routes import Mount
    from spindle_spi.operation import OperationDoc, ParameterDoc, ResponseDoc
    from spindle_spi.shapes import ErrorShape
    from spindle_spi.types import Json, JsonObject

_PARAMETER: Final = re.compile(r"\{([a-z_][a-z0-9_]*)(:path)?\}")
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")
_SCHEMES: Final[JsonObject] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A Spindle token, or an access token of a trusted issuer.",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "The same token as Anthropic's clients send it.",
    },
}
_SEGMENT: Final[JsonObject] = {"type": "string", "minLength": 1}
_SECURITY: Final[list[Json]] = [{"token": []}, {"apiKey": []}]


def document_of(mounts: Sequence[Mount], *, version: str) -> JsonObject:
    """Return the document of everything that is mounted, in the order of the paths."""
    components = Components()
    refusals = _Refusals(components)
    names = _names_by_shape(mounts)
    paths: dict[str, JsonObject] = {}
    tags: dict[str, None] = {}
    ids: set[str] = set()

    for mount in mounts:
        said = documentation_of(mount.route)
        spelled = names[_plain(mount.shape)]
        path = _path(mount.path, spelled)

        if mount.method.lower() in paths.get(path, {}):
            # One segment and the rest are two routes here, and would be one path there.
            spelled = tuple(f"{name}_rest" for name in spelled)
            path = _path(mount.path, spelled)

        operation = _Operation(mount, said, components, spelled)
        shown = operation.shown(_identity(mount.method, path, ids), refusals)
        paths.setdefault(path, {})[mount.method.lower()] = shown
        tags[operation.tag] = None

    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Spindle",
            "version": version,
            "description": "One governed catalog of models and tools, as this gateway serves it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": _SECURITY,
        "tags": [{"name": tag} for tag in sorted(tags)],
        "paths": {**paths},
        "components": {
            "schemas": dict(sorted(components.schemas.items())),
            "responses": dict(sorted(refusals.responses.items())),
            "securitySchemes": _SCHEMES,
        },
    }


class _Refusals:
    """The part `components.responses`: each error of a shape once a status."""

    def __init__(self, components: Components) -> None:
        self.responses: JsonObject = {}
        self._components = components
        self._known: dict[int, tuple[ErrorShape, JsonObject]] = {}

    def of(self, shape: ErrorShape, status: str) -> JsonObject:
        """Return what refers to the answer with an error of a shape."""
        known = self._known.get(id(shape))

        if known is None:
            known = self._known[id(shape)] = shape, self._components.add(schema_of(shape))

        error = known[1]
        name = f"{str(error['$ref']).rpartition('/')[2]}{status.title()}"
        words = WORDS.get(int(status), "It was refused.") if status.isdigit() else "Another error."
        content: JsonObject = {shape.content_type: {"schema": error}}
        self.responses.setdefault(name, {"description": words, "content": content})
        return {"$ref": f"#/components/responses/{name}"}


class _Operation:
    """One operation while it is being written."""

    def __init__(
        self,
        mount: Mount,
        said: OperationDoc | None,
        components: Components,
        names: tuple[str, ...],
    ) -> None:
        self._mount = mount
        self._said = said
        self._components = components
        self._names = names
        self.tag = mount.owner if said is None else said.tag or mount.owner

    def shown(self, identity: str, refusals: _Refusals) -> JsonObject:
        """Return it as the document has it."""
        mount, said = self._mount, self._said
        permission = mount.route.permission
        shown: JsonObject = {
            "operationId": identity,
            "summary": f"{mount.method} {mount.path}" if said is None else said.summary,
            "tags": [self.tag],
            "parameters": self._parameters(),
            "responses": self._responses(refusals),
            "x-spindle-permission": permission if isinstance(permission, str) else permission.value,
            "x-spindle-owner": mount.owner,
        }

        if permission is PUBLIC:
            shown["security"] = []

        if said is None:
            return shown

        if said.description:
            shown["description"] = said.description

        if said.request:
            shown["requestBody"] = {
                "required": said.request_required,
                "content": self._content(said.request),
            }

        if said.stream:
            shown["x-spindle-stream"] = True

        return shown

    def _parameters(self) -> list[Json]:
        said = () if self._said is None else self._said.parameters
        of_path = {each.name: each for each in said if each.place == "path"}
        found: list[Json] = []

        for match, name in zip(_PARAMETER.finditer(self._mount.path), self._names, strict=True):
            known = of_path.get(match.group(1))
            schema = _SEGMENT if known is None else known.schema
            words = "" if known is None else known.description
            rest = "It may have slashes in it." if match.group(2) else ""
            described = " ".join(filter(None, (words, rest)))
            found.append(
                {
                    "name": name,
                    "in": "path",
                    "required": True,
                    "schema": self._components.add(schema),
                    **({"description": described} if described else {}),
                }
            )

        return [*found, *(self._parameter(each) for each in said if each.place != "path")]

    def _parameter(self, said: ParameterDoc) -> JsonObject:
        shown: JsonObject = {
            "name": said.name,
            "in": said.place,
            "required": said.required,
            "schema": self._components.add(said.schema),
        }
        return shown | ({"description": said.description} if said.description else {})

    def _responses(self, refusals: _Refusals) -> JsonObject:
        said, shape = self._said, self._mount.errors
        answers: Mapping[str, ResponseDoc] = {} if said is None else said.responses
        shown: JsonObject = {
            status: self._response(answer) for status, answer in sorted(answers.items())
        }

        if said is None:
            shown["2XX"] = {"description": "What it answers is not said."}
            shown["default"] = refusals.of(shape, "default")

        for status in map(str, statuses_of(self._mount, said)):
            if status not in shown:
                shown[status] = refusals.of(shape, status)

        return dict(sorted(shown.items()))

    def _response(self, said: ResponseDoc) -> JsonObject:
        content = {"content": self._content(said.content)} if said.content else {}
        return {"description": said.description, **content}

    def _content(self, said: Mapping[str, JsonObject]) -> JsonObject:
        return {kind: {"schema": self._components.add(schema)} for kind, schema in said.items()}


def _names_by_shape(mounts: Iterable[Mount]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return the names that parameters have in the document: one path has one set of them."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}

    for mount in mounts:
        found.setdefault(_plain(mount.shape), mount.names)

    return found


def _plain(shape: tuple[str, ...]) -> tuple[str, ...]:
    """Return a shape in which `{id}` and `{id:path}` are the same, as they are to OpenAPI."""
    return tuple("{}" if part == "{:path}" else part for part in shape)


def _path(pattern: str, names: tuple[str, ...]) -> str:
    waiting = iter(names)
    return _PARAMETER.sub(lambda _: f"{{{next(waiting)}}}", pattern)


def _identity(method: str, path: str, taken: set[str]) -> str:
    """Return an id that follows from method and path alone, unless two would be the same."""
    said = path.replace("{", "by_")
    wanted = f"{method.lower()}_{_NO_WORD.sub('_', said.lower()).strip('_')}"
    name, number = wanted, 1

    while name in taken:
        number += 1
        name = f"{wanted}_{number}"

    taken.add(name)
    return name
