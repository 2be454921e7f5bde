"""Checks a call's arguments against the tool's input schema, before anything is sent anywhere.

Bounded by construction: references are never fetched, keywords that can cost far more than the
input is long (patterns, uniqueness) are left to the upstream, and references are followed so often
and no more.
"""

from __future__ import annotations

from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

    from spindle_spi.types import Json, JsonObject

_MAX_MESSAGE: Final = 400
_MAX_REFERENCES: Final = 20_000
"""References followed for one call: a schema that goes round in circles may also multiply."""
_COSTLY: Final = frozenset(
    {"pattern", "uniqueItems", "unevaluatedProperties", "unevaluatedItems", "$schema"}
)
_NAMED: Final = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose members are named schemas: there a `pattern` is a name, not a keyword."""
_WORDS: Final = frozenset({"type", "title", "description", "default", "examples"})
_FLAT_KEYS: Final = _WORDS | {"$schema", "properties", "required", "additionalProperties"}
_PYTHON: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}
_REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_DATA: Final = frozenset({"const", "enum", "default", "examples"})


_followed = [0]
"""References followed in the check that goes on: a check never waits, so there is one at a time."""


class _TooCostly(Exception):
    """A check took too many steps."""


class ArgumentCheck:
    """The check for one tool; its schema is compiled on first use."""

    __slots__ = ("_flat", "_is_ready", "_schema", "_validator")

    def __init__(self, schema: JsonObject) -> None:
        self._schema = schema
        self._validator: Validator | None = None
        self._is_ready = False
        self._flat: _Flat | None = None

    def fault_in(self, arguments: JsonObject) -> str | None:
        """Return what is wrong with the arguments, in a sentence; None when they fit."""
        if not self._is_ready:
            self._validator = _compiled(self._schema)
            self._flat = _flat(self._schema)
            self._is_ready = True

        if self._validator is None or (self._flat is not None and self._flat.fits(arguments)):
            return None

        _followed[0] = 0

        try:
            error = next(iter(self._validator.iter_errors(arguments)), None)

            if error is not None and (said := _without_nulls(self._schema, arguments)) is not None:
                error = next(iter(self._validator.iter_errors(said)), None)
        except Unresolvable:
            # A schema that needs another document: the upstream judges.
            return None
        except (_TooCostly, RecursionError):
            return "Invalid arguments: they are nested too deeply to be checked."

        return None if error is None else _sentence(error)


def _without_nulls(schema: JsonObject, arguments: JsonObject) -> JsonObject | None:
    """Return the arguments without optional ones that are null; None when there are none.

    Clients send null for what they leave out, and the protocol itself speaks of such arguments
    where it mirrors them into headers. Upstreams get what was sent.
    """
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    said = {name: value for name, value in arguments.items() if value is not None or name in needed}
    return said if len(said) < len(arguments) else None


class _Flat:
    """A schema of plain properties, which nearly all tools have, checked without the library.

    It only ever says yes; what is wrong, and in which words, the library says.
    """

    __slots__ = ("_is_closed", "_required", "_types")

    def __init__(
        self, types: dict[str, tuple[type, ...]], required: set[str], closed: bool
    ) -> None:
        self._types = types
        self._required = required
        self._is_closed = closed

    def fits(self, arguments: JsonObject) -> bool:
        """Tell whether arguments fit beyond doubt."""
        if not self._required <= arguments.keys():
            return False

        for name, value in arguments.items():
            wanted = self._types.get(name)

            if wanted is None:
                if self._is_closed:
                    return False
            elif type(value) not in wanted:
                return False

        return True


def _flat(schema: JsonObject) -> _Flat | None:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    additional = schema.get("additionalProperties", True)

    if not schema.keys() <= _FLAT_KEYS or schema.get("type") != "object":
        return None

    if not isinstance(properties, dict) or not isinstance(required, list):
        return None

    types = {name: _plain_type(entry) for name, entry in properties.items()}
    known = {name: kinds for name, kinds in types.items() if kinds is not None}

    if len(known) != len(types) or not isinstance(additional, bool):
        return None

    return _Flat(known, {name for name in required if isinstance(name, str)}, not additional)


def _plain_type(schema: Json) -> tuple[type, ...] | None:
    """Return the Python types of a property that has a type and else only words."""
    if not isinstance(schema, dict) or not schema.keys() <= _WORDS:
        return None

    kind = schema.get("type")
    return _PYTHON.get(kind) if isinstance(kind, str) else None


def _compiled(schema: JsonObject) -> Validator | None:
    dialect = validators.validator_for(schema, default=Draft202012Validator)

    try:
        bounded = _bounded(schema)
        dialect.check_schema(bounded)
    except (SchemaError, RecursionError):
        return None

    # An empty registry of its own: jsonschema's default one fetches references over the network.
    return _counting(dialect)(bounded, registry=Registry())


@cache
def _counting(dialect: type[Validator]) -> type[Validator]:
    """Return a dialect that stops when it has followed too many references."""
    counted: dict[str, Any] = {}

    for keyword in _REFERENCES & dialect.VALIDATORS.keys():
        counted[keyword] = partial(_follow, dialect.VALIDATORS[keyword])

    # Its function says nothing of its types.
    library: Any = import_module("jsonschema.validators")
    made: type[Validator] = library.extend(dialect, counted)
    return made


def _follow(
    follow: Callable[..., Iterator[ValidationError]], validator: Validator, *rest: Any
) -> Iterator[ValidationError]:
    _followed[0] += 1

    if _followed[0] > _MAX_REFERENCES:
        raise _TooCostly

    yield from follow(validator, *rest)


def _bounded(schema: JsonObject) -> JsonObject:
    """Return a schema without its costly keywords.

    `patternProperties` goes with whatever else says which properties there may be.
    """
    left_out = _COSTLY

    if "patternProperties" in schema:
        left_out |= {"patternProperties", "additionalProperties"}

    return {key: _part(key, value) for key, value in schema.items() if key not in left_out}


def _part(key: str, value: Json) -> Json:
    if key in _DATA:
        return value

    if key in _NAMED and isinstance(value, dict):
        return {name: _part("", entry) for name, entry in value.items()}

    if isinstance(value, list):
        return [_part("", entry) for entry in value]

    return _bounded(value) if isinstance(value, dict) else value


def _sentence(error: ValidationError) -> str:
    place = "/".join(str(part) for part in error.absolute_path)
    message = error.message

    if len(message) > _MAX_MESSAGE:
        message = f"{message[:_MAX_MESSAGE]}…"

    return f"Invalid arguments: {place}: {message}" if place else f"Invalid arguments: {message}"
