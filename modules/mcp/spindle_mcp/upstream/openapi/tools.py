"""Operations as tools: the schemas of their arguments and answers, and hints on what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spindle_mcp.upstream.openapi.bodies import is_json
from spindle_mcp.upstream.openapi.names import argument_name, is_plain, tool_names
from spindle_mcp.upstream.openapi.operations import Operation
from spindle_mcp.upstream.openapi.references import References, Unresolvable
from spindle_mcp.upstream.openapi.schemas import SchemaTooLarge, translated
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spindle_mcp.upstream.openapi.bodies import Body
    from spindle_mcp.upstream.openapi.parameters import Parameter

_LONGEST_TEXT: Final = 8_000
_TOO_LARGE: Final = "The schema of this value is too long to be shown."
_MERGEABLE: Final = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "$defs"),
        *("title", "description", "default", "examples", "deprecated"),
    }
)
"""Keywords of a body that is no more than its properties."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestTool:
    """An operation as a tool."""

    definition: JsonObject
    operation: Operation
    body_argument: str | None
    """The argument that is the body; None: what no parameter takes is."""
    output_schema: JsonObject | None


def make_tools(
    operations: Sequence[Operation], references: References, *, has_outputs: bool
) -> Iterator[RestTool]:
    """Yield the operations as tools, under names of their own."""
    names = tool_names([(each.name, each.place) for each in operations])

    for name, operation in zip(names, operations, strict=True):
        schema, body_argument = _input(operation, references)
        output = _output(operation, references) if has_outputs else None
        definition: JsonObject = {
            "name": name,
            "description": _description(operation),
            "inputSchema": schema,
            "annotations": _annotations(operation),
        }

        if operation.title is not None:
            definition["title"] = operation.title[:200]

        if output is not None:
            definition["outputSchema"] = output

        yield RestTool(
            definition=definition,
            operation=operation,
            body_argument=body_argument,
            output_schema=output,
        )


def _input(operation: Operation, references: References) -> tuple[JsonObject, str | None]:
    properties: JsonObject = {}
    required: list[Json] = []
    definitions: JsonObject = {}

    for parameter in operation.parameters:
        properties[parameter.argument] = _argument(parameter, references, definitions)

        if parameter.required:
            required.append(parameter.argument)

    schema: JsonObject = {"type": "object", "properties": properties}
    body_argument = None
    rest: Json = False

    if operation.body is not None:
        shown = _translated(references, operation.body.schema)

        if _is_mergeable(shown, operation.body, properties):
            _adopt(shown, definitions)
            properties.update(_members(shown, "properties"))
            required += _words(shown, "required")
            rest = shown.get("additionalProperties", True)
        else:
            body_argument = argument_name("body", "request", properties)
            described = _described(shown, operation.body.description)
            _adopt(described, definitions)
            properties[body_argument] = described

            if operation.body.required:
                required.append(body_argument)

    if required:
        schema["required"] = required

    if rest is not True:
        schema["additionalProperties"] = rest

    if definitions:
        schema["$defs"] = definitions

    return schema, body_argument


def _argument(parameter: Parameter, references: References, definitions: JsonObject) -> Json:
    schema = _described(_translated(references, parameter.schema), parameter.description)
    _adopt(schema, definitions)
    return schema


def _translated(references: References, schema: Json) -> JsonObject:
    try:
        return translated(references, schema, "input")
    except SchemaTooLarge:
        return {"description": _TOO_LARGE}


def _described(schema: JsonObject, description: str | None) -> JsonObject:
    return schema if description is None else {**schema, "description": description[:4_000]}


def _adopt(schema: JsonObject, definitions: JsonObject) -> None:
    """Move a schema's definitions to where its references look for them.

    Names are made of where a definition stands in the document: two of one name are one, unless
    the document has two of it, and then the names of the whole schema are its own.
    """
    own = schema.pop("$defs", None)

    if not isinstance(own, dict):
        return

    if all(definitions.get(name, each) == each for name, each in own.items()):
        definitions.update(own)
        return

    renamed = {name: _free(name, definitions) for name in own}
    definitions.update({renamed[name]: _renamed(each, renamed) for name, each in own.items()})
    moved = {key: _renamed(value, renamed) for key, value in schema.items()}
    schema.clear()
    schema.update(moved)


def _free(name: str, taken: JsonObject) -> str:
    number = 2

    while f"{name}_{number}" in taken:
        number += 1

    return f"{name}_{number}"


def _renamed(value: Json, names: dict[str, str]) -> Json:
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]

    if not isinstance(value, dict):
        return value

    moved = {key: _renamed(each, names) for key, each in value.items()}
    reference = value.get("$ref")

    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        name = reference.removeprefix("#/$defs/")
        moved["$ref"] = f"#/$defs/{names.get(name, name)}"

    return moved


def _is_mergeable(schema: JsonObject, body: Body, taken: JsonObject) -> bool:
    properties = schema.get("properties")

    if schema.get("type") != "object" or not isinstance(properties, dict) or not properties:
        return False

    # An optional body with a required part is something else than a required part.
    is_whole = body.required or not schema.get("required")
    return (
        is_whole
        and schema.keys() <= _MERGEABLE
        and not properties.keys() & taken.keys()
        and all(map(is_plain, properties))
    )


def _output(operation: Operation, references: References) -> JsonObject | None:
    """Return the schema of what comes back, where every success is one JSON object."""
    schemas: list[Json] = []

    for status, said in operation.responses.items():
        if not str(status).startswith("2"):
            continue

        try:
            content = references.followed(said).get("content")
        except Unresolvable:
            return None

        types = content if isinstance(content, dict) else {}

        if not types or not all(map(is_json, types)):
            return None

        schemas += [m.get("schema") if isinstance(m, dict) else None for m in types.values()]

    if not schemas or any(each != schemas[0] for each in schemas):
        return None

    try:
        schema = translated(references, schemas[0], "output")
    except SchemaTooLarge:
        return None

    return schema if schema.get("type") == "object" else _as_object(schema)


def _as_object(schema: JsonObject) -> JsonObject | None:
    """Return a schema that says by itself that it is an object's, if that is certain."""
    branches = schema.get("allOf")
    is_composed = isinstance(branches, list) and any(
        isinstance(branch, dict) and branch.get("type") == "object" for branch in branches
    )
    is_plain_object = "type" not in schema and isinstance(schema.get("properties"), dict)
    return {"type": "object", **schema} if is_composed or is_plain_object else None


def _annotations(operation: Operation) -> JsonObject:
    match operation.method:
        case "GET" | "HEAD" | "OPTIONS":
            hints: JsonObject = {"readOnlyHint": True}
        case "DELETE":
            hints = {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True}
        case "PUT":
            hints = {"readOnlyHint": False, "idempotentHint": True}
        case _:
            hints = {"readOnlyHint": False}

    return {**hints, "openWorldHint": True}


def _description(operation: Operation) -> str:
    said = [text.strip() for text in (operation.title, operation.description) if text]
    lines = list(dict.fromkeys(said)) or [operation.place]

    if operation.is_deprecated:
        lines.insert(0, "Deprecated.")

    return "\n\n".join(lines)[:_LONGEST_TEXT]


def _members(schema: JsonObject, key: str) -> JsonObject:
    value = schema.get(key)
    return value if isinstance(value, dict) else {}


def _words(schema: JsonObject, key: str) -> list[Json]:
    value = schema.get(key)
    return value if isinstance(value, list) else []
