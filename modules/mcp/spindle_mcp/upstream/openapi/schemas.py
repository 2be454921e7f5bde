"""Schemas of a document as JSON Schema 2020-12 that stands by itself.

References are written out where they end, and kept as `$defs` where they come back to themselves or
where writing them out grows too long. Keywords that are not known, or not of their type, are left
out: what is made here is a valid schema, whatever it is made of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from spindle_mcp.upstream.openapi import keywords
from spindle_mcp.upstream.openapi.references import References, Unresolvable

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

Direction = Literal["input", "output"]

MAX_BYTES: Final = 65_536
"""Longest schema of one tool in one direction."""
_INLINE_NODES: Final = 2_000
_DEFINED_NODES: Final = 20_000
_MAX_DEPTH: Final = 60
_SINGLE: Final = frozenset(
    {
        *("items", "contains", "additionalProperties", "unevaluatedProperties"),
        *("unevaluatedItems", "propertyNames", "not", "if", "then", "else"),
    }
)
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_WORDS: Final = frozenset({"title", "description", "default", "deprecated", "examples"})
_APPLIED: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf", "not", "const", "if"})


class SchemaTooLarge(Exception):
    """Longer than a tool may show."""


def translated(references: References, schema: Json, direction: Direction) -> JsonObject:
    """Return a schema of a document as one of 2020-12 with its definitions in it.

    Raises:
        SchemaTooLarge: It would be too long.
    """
    try:
        found = _Walk(references, direction, _INLINE_NODES, inline=True).whole(schema)
    except _Overflow:
        try:
            found = _Walk(references, direction, _DEFINED_NODES, inline=False).whole(schema)
        except _Overflow as exc:
            raise SchemaTooLarge from exc

    if len(json.dumps(found)) > MAX_BYTES:
        raise SchemaTooLarge

    return found


class _Overflow(Exception):
    """More parts than a walk may meet."""


@dataclass(slots=True)
class _Walk:
    references: References
    direction: Direction
    budget: int
    inline: bool = field(kw_only=True)
    _count: int = 0
    _depth: int = 0
    _names: dict[str, str] = field(default_factory=dict[str, str])
    _wanted: list[str] = field(default_factory=list[str])

    def whole(self, schema: Json) -> JsonObject:
        """Return the schema with its definitions."""
        at: tuple[str, ...] = ()

        if isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
            # What stands at the top is seen by clients that follow no references.
            try:
                found, target = self.references.target(reference)
            except Unresolvable:
                return {}

            at, schema = (found,), target

        result = self._schema(schema, at, frozenset())
        definitions: JsonObject = {}

        while self._wanted:
            reference = self._wanted.pop()
            _, target = self.references.target(reference)
            definition = self._schema(target, (reference,), frozenset())
            definitions[self._names[reference]] = definition

        if not isinstance(result, dict):
            return {}

        return {**result, "$defs": dict(sorted(definitions.items()))} if definitions else result

    def _schema(self, schema: Json, at: tuple[str, ...], hidden: frozenset[str]) -> Json:
        self._count += 1

        if self._count > self.budget:
            raise _Overflow

        if isinstance(schema, bool):
            return schema

        if not isinstance(schema, dict) or self._depth >= _MAX_DEPTH:
            return {}

        self._depth += 1

        try:
            reference = schema.get("$ref")

            if isinstance(reference, str):
                return self._referred(reference, schema, at, hidden)

            return self._object(schema, at, hidden)
        finally:
            self._depth -= 1

    def _referred(
        self, reference: str, schema: JsonObject, at: tuple[str, ...], hidden: frozenset[str]
    ) -> Json:
        beside = self._object({k: v for k, v in schema.items() if k != "$ref"}, at, hidden)

        try:
            if self.references.is_endless(reference):
                raise Unresolvable("a schema never ends")

            reference, target = self.references.target(reference)
        except Unresolvable:
            return beside

        result: Json

        if self.inline and reference not in at:
            result = self._schema(target, (*at, reference), hidden)
        else:
            pointer: JsonObject = {"$ref": f"#/$defs/{self._named(reference)}"}
            result = pointer

        if schema.get("nullable") is True and isinstance(result, dict):
            result = keywords.with_null(result)

        if not beside:
            return result

        if isinstance(result, dict) and ("$ref" in result or beside.keys() <= _WORDS):
            return {**result, **beside}

        branches: list[Json] = [result]
        return {"allOf": branches, **beside}

    def _named(self, reference: str) -> str:
        name = self._names.get(reference)

        if name is None:
            plain = keywords.plain_name(reference.rsplit("/", 1)[-1])
            taken = set(self._names.values())
            name = next(
                candidate
                for number in range(1, len(taken) + 2)
                if (candidate := plain if number == 1 else f"{plain}_{number}") not in taken
            )
            self._names[reference] = name
            self._wanted.append(reference)

        return name

    def _object(
        self, schema: JsonObject, at: tuple[str, ...], hidden: frozenset[str]
    ) -> JsonObject:
        hidden |= self._hidden_names(schema, 0)
        result = keywords.plain_keywords(schema, is_output=self.direction == "output")

        for key, value in schema.items():
            if key in _SINGLE and isinstance(value, dict | bool):
                result[key] = self._schema(value, at, frozenset())
            elif key in _LISTS and isinstance(value, list) and value:
                passed = hidden if key == "allOf" else frozenset[str]()
                result[key] = [self._schema(part, at, passed) for part in value]
            elif key in _NAMED and isinstance(value, dict) and self._is_shown(key):
                result[key] = {
                    name: self._schema(part, at, frozenset())
                    for name, part in value.items()
                    if key != "properties" or name not in hidden
                }

        required = result.get("required")

        if isinstance(required, list):
            kept: list[Json] = [name for name in required if name not in hidden]
            result["required"] = kept

            if not kept:
                del result["required"]

        return keywords.with_null(result) if schema.get("nullable") is True else result

    def _is_shown(self, key: str) -> bool:
        # Patterns are another language's: an answer must not be refused over them.
        return key != "patternProperties" or self.direction == "input"

    def _hidden_names(self, schema: JsonObject, depth: int) -> frozenset[str]:
        """Return the properties that do not go in this direction, those of `allOf` among them."""
        mark = "readOnly" if self.direction == "input" else "writeOnly"
        found: set[str] = set()
        properties, branches = schema.get("properties"), schema.get("allOf")

        for name, part in properties.items() if isinstance(properties, dict) else ():
            if self._seen(part).get(mark) is True or _says(part, mark):
                found.add(name)

        if depth < 8:
            for branch in branches if isinstance(branches, list) else ():
                self._count += 1
                found |= self._hidden_names(self._seen(branch), depth + 1)

        return frozenset(found)

    def _seen(self, schema: Json) -> JsonObject:
        try:
            return self.references.followed(schema)
        except Unresolvable:
            return {}


def _says(schema: Json, mark: str) -> bool:
    return isinstance(schema, dict) and schema.get(mark) is True
