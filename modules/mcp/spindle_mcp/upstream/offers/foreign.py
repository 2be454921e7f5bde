"""References of a schema to other documents: never fetched, so what they would say is anything.

The schema that is offered in place of such a one refers to nothing outside itself. Whatever the
upstream's own takes, it takes: where less said elsewhere would mean that less is taken (`not`), it
says nothing. Nobody who reads it can be led to fetch anything, nor stumble over a reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_mcp.upstream.offers.schemas import NAMED, References, references_in, schemas_in, shown

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_MAX_TOLD: Final = 3
_ALONE: Final = ("draft-03", "draft-04", "draft-06", "draft-07")
"""Dialects in which nothing counts that stands beside `$ref`."""
_BESIDE: Final = frozenset(
    {"$schema", "$id", "id", "$defs", "definitions", "title", "description", "$comment"}
)
_SWAYED: Final = frozenset({"not", "disallow", "if", "oneOf", "contains"})
"""Keywords by which more is taken within and less without."""
_REST: Final = frozenset({"unevaluatedProperties", "unevaluatedItems"})
"""Keywords about what nothing else in the schema spoke of."""
_DATA: Final = frozenset({"const", "enum", "default", "examples", "example"})


def self_contained(schema: JsonObject) -> tuple[JsonObject, str | None]:
    """Return a sound schema without references to other documents, and what is said of them."""
    references = references_in(schema)

    if not references.foreign:
        return schema, None

    told = list(dict.fromkeys(one for ones in references.foreign.values() for one in ones.values()))
    named = ", ".join(shown(one) for one in told[:_MAX_TOLD])
    more = f" and {len(told) - _MAX_TOLD} more" if len(told) > _MAX_TOLD else ""
    relaxed = _Relaxed(schema, references).of_schema(schema)

    if "type" in schema:
        # Of arguments, and before 2026 of outputs, the protocol itself says so.
        relaxed = {"type": schema["type"], **relaxed}

    return relaxed, f"refers to another document, {named}{more}: what that says is not checked"


class _Relaxed:
    def __init__(self, schema: JsonObject, references: References) -> None:
        self._foreign = references.foreign
        self._open = _reaching(schema, references)
        self._is_alone = any(dialect in str(schema.get("$schema", "")) for dialect in _ALONE)

    def of_schema(self, schema: JsonObject) -> JsonObject:
        """Return a schema that takes whatever this one takes, and needs no other document."""
        left_out = frozenset(self._foreign.get(id(schema), ()))

        if left_out and self._is_alone:
            left_out |= schema.keys() - _BESIDE

        if id(schema) in self._open:
            left_out |= self._swayed(schema)

        relaxed = {
            key: self._of_member(key, value) for key, value in schema.items() if key not in left_out
        }

        # One of several at least is what is left of exactly one of them.
        if "oneOf" in left_out and "oneOf" in schema and not self._is_alone | ("anyOf" in schema):
            relaxed["anyOf"] = self._of_member("oneOf", schema["oneOf"])

        return relaxed

    def _swayed(self, schema: JsonObject) -> frozenset[str]:
        """Return the keywords with which less would be taken than by the whole of the documents."""
        swayed = {key for key in _SWAYED & schema.keys() if self._is_open(schema[key])}

        if "if" in swayed:
            swayed |= {"then", "else"}

        if "contains" in swayed:
            # That there is one of them holds all the more; that there are not too many does not.
            swayed = swayed - {"contains"} | {"maxContains"}

        return frozenset(swayed) | _REST

    def _is_open(self, value: Json) -> bool:
        if isinstance(value, list):
            return any(map(self._is_open, value))

        return id(value) in self._open

    def _of_member(self, key: str, value: Json) -> Json:
        if key in _DATA:
            return value

        if isinstance(value, list):
            return [self._of_member("", entry) for entry in value]

        if not isinstance(value, dict):
            return value

        if key in NAMED:
            return {name: self._of_member("", entry) for name, entry in value.items()}

        return self.of_schema(value)


def _reaching(schema: JsonObject, references: References) -> set[int]:
    """Return the ids of the schemas that another document has a say in."""
    reached_from: dict[int, list[int]] = {}

    for parent, part in schemas_in(schema):
        reached_from.setdefault(id(part), []).append(parent)

        for target in references.within.get(id(part), ()):
            reached_from.setdefault(target, []).append(id(part))

    reaching: set[int] = set()
    waiting = list(references.foreign)

    while waiting:
        one = waiting.pop()

        if one not in reaching:
            reaching.add(one)
            waiting += reached_from.get(one, ())

    return reaching
