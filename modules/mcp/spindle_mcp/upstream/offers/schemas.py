"""What may be wrong with an upstream's JSON Schema, found before anybody validates with it.

A schema that goes round in circles over the value it describes is legal and welcome: a tree. What
is refused never ends on one value, multiplies, refers to nothing, or is no schema.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from referencing import Registry
from referencing.exceptions import (
    CannotDetermineSpecification,
    InvalidAnchor,
    NoSuchAnchor,
    PointerToNowhere,
    Unresolvable,
)
from referencing.jsonschema import DRAFT202012, specification_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from referencing import Specification
    from referencing._core import Resolver

    from spindle_spi.types import Json, JsonObject

MAX_DEPTH: Final = 64
MAX_PARTS: Final = 20_000
"""Values in one definition."""
_MAX_STEPS: Final = 10_000
"""Schemas that one value may have to pass."""
_MAX_SHOWN: Final = 80

_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_DATA: Final = frozenset({"const", "enum", "default", "examples", "example"})
NAMED: Final = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)
"""Keywords whose members are named schemas: there `not` is a name, not a keyword."""
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_SAME_VALUE: Final = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
"""Keywords whose schemas look at the same value, not at a part of it."""
_OBJECTS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LISTS: Final = frozenset({"required", "allOf", "anyOf", "oneOf", "enum"})


class _Lost(Exception):
    """A reference leads nowhere; says so."""


def too_much_of(value: Json) -> str | None:
    """Return in which way a value is too deep, or has too many parts, for anybody to look at."""
    waiting: list[tuple[Json, int]] = [(value, 0)]
    parts = 0

    while waiting:
        one, depth = waiting.pop()
        parts += 1

        if depth > MAX_DEPTH:
            return f"is nested deeper than {MAX_DEPTH} levels"

        if parts > MAX_PARTS:
            return f"has more than {MAX_PARTS} parts"

        if isinstance(one, dict):
            waiting += [(inner, depth + 1) for inner in one.values()]
        elif isinstance(one, list):
            waiting += [(inner, depth + 1) for inner in one]

    return None


def fault_of_schema(schema: JsonObject) -> str | None:
    """Return what is wrong with a schema, as the end of a sentence; None when nothing is.

    It must not be too much, see `too_much_of`.
    """
    has_references = False

    for _, part in schemas_in(schema):
        fault = _fault_of_words(part)

        if fault is not None:
            return fault

        has_references = has_references or not part.keys().isdisjoint(_REFERENCES)

    # Without references the schemas of a document are a tree, and a bounded one.
    return _fault_of_references(schema) if has_references else None


def _fault_of_references(schema: JsonObject) -> str | None:
    try:
        references = references_in(schema)
    except _Lost as exc:
        return str(exc)

    edges = {
        id(part): [*references.within.get(id(part), ()), *map(id, _same_value(part))]
        for _, part in schemas_in(schema)
    }
    return _fault_of_steps(edges)


@dataclass(frozen=True, slots=True)
class References:
    """The references of the schemas of a document, which have their ids for keys."""

    within: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    """The ids of what they lead to in the document."""
    foreign: dict[int, dict[str, str]] = field(default_factory=dict[int, dict[str, str]])
    """Those that lead out of it, by their keywords."""


def references_in(schema: JsonObject) -> References:
    """Find the references of a document; nothing is fetched.

    It must not be too much, see `too_much_of`, and be without faults.
    """
    try:
        dialect: Specification[Any] = specification_with(
            str(schema.get("$schema", "")), default=DRAFT202012
        )
    except CannotDetermineSpecification:
        dialect = DRAFT202012

    registry = Registry[Any]().with_resource("", dialect.create_resource(schema))
    resolvers: dict[int, Resolver[Any]] = {0: registry.resolver()}
    references = References()

    for parent, part in schemas_in(schema):
        resolver = resolvers[parent]

        if parent and isinstance(part.get("$id"), str):
            resolver = resolver.in_subresource(dialect.create_resource(part))

        resolvers[id(part)] = resolver
        _follow(part, resolver, references)

    return references


def schemas_in(schema: JsonObject) -> Iterator[tuple[int, JsonObject]]:
    """Yield every schema of a document, with the id of the schema around it; 0 is none."""
    waiting: list[tuple[int, Json, bool]] = [(0, schema, True)]

    while waiting:
        around, value, is_schema = waiting.pop()

        if isinstance(value, list):
            waiting += [(around, inner, is_schema) for inner in value]
        elif isinstance(value, dict):
            if is_schema:
                yield around, value
                around = id(value)
                waiting += [
                    (around, inner, key not in NAMED)
                    for key, inner in value.items()
                    if key not in _DATA and isinstance(inner, dict | list)
                ]
            else:
                waiting += [(around, inner, True) for inner in value.values()]


def _fault_of_words(schema: JsonObject) -> str | None:
    kinds = schema.get("type")

    if kinds is not None and not (isinstance(kinds, str) and kinds in _TYPES):
        for kind in kinds if isinstance(kinds, list) else (kinds,):
            if not isinstance(kind, str) or kind not in _TYPES:
                return f"says the type {shown(kind)}, which there is not"

    for key in _OBJECTS & schema.keys():
        if not isinstance(schema[key], dict):
            return f"has {key} that are no object"

    for key in _LISTS & schema.keys():
        if not isinstance(schema[key], list):
            return f"has {key} that is no list"

    return None


def _follow(schema: JsonObject, resolver: Resolver[Any], references: References) -> None:
    """Note where the references of a schema lead.

    Raises:
        _Lost: One leads to what is not in the document.
    """
    for key in _REFERENCES:
        reference = schema.get(key)

        if not isinstance(reference, str):
            continue

        try:
            target = id(resolver.lookup(reference).contents)
        except (PointerToNowhere, NoSuchAnchor, InvalidAnchor) as exc:
            raise _Lost(f"refers to {shown(reference)}, which is not in it") from exc
        except (Unresolvable, ValueError):
            references.foreign.setdefault(id(schema), {})[key] = reference
        else:
            references.within.setdefault(id(schema), []).append(target)


def _same_value(schema: JsonObject) -> list[Json]:
    """Return the schemas within a schema that look at the same value as it."""
    found: list[Json] = []

    for key in _SAME_VALUE:
        inner = schema.get(key)

        if isinstance(inner, dict) and key != "dependentSchemas":
            found.append(inner)
        elif isinstance(inner, dict | list):
            found += inner.values() if isinstance(inner, dict) else inner

    return found


def _fault_of_steps(edges: dict[int, list[int]]) -> str | None:
    """Count the schemas one value has to pass, from every schema on."""
    steps: dict[int, int] = {}
    open_now: set[int] = set()

    for start in edges:
        waiting = [(start, False)]

        while waiting:
            node, is_left = waiting.pop()
            inner = edges.get(node, ())

            if is_left:
                open_now.discard(node)
                steps[node] = 1 + sum(steps.get(each, 1) for each in inner)

                if steps[node] > _MAX_STEPS:
                    return f"makes more than {_MAX_STEPS} steps of one value"
            elif node in open_now:
                return "refers to itself without an end"
            elif node not in steps:
                open_now.add(node)
                waiting.append((node, True))
                waiting += [(each, False) for each in inner if each in edges]

    return None


def shown(value: Json) -> str:
    """Return what an upstream says, as it is told of."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
