"""Checks a part of the configuration by a JSON Schema: every fault, never a value.

jsonschema is imported only when there is something to check: most configurations have nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeGuard

from spindle.config.faults import Fault, Path, describe_type, unknown_key
from spindle_spi.types import Json

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator


def schema_faults(
    path: Path, value: Mapping[str, Json], schema: Mapping[str, Json], owner: str
) -> list[Fault]:
    """Return what is wrong with a value; `owner` is whose schema it is, for a broken schema."""
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        errors = list(_validator(schema).iter_errors(dict(value)))
    except SchemaError as exc:
        problem = f"the schema of {owner} is no JSON Schema: {exc.message}"
        return [Fault(path=path, problem=problem)]
    except Unresolvable:
        return [Fault(path=path, problem=f"the schema of {owner} refers to another document")]

    return [fault for error in errors for fault in _faults_of(path, error)]


def _validator(schema: Mapping[str, Json]) -> Validator:
    from jsonschema import Draft202012Validator
    from referencing import Registry

    Draft202012Validator.check_schema(dict(schema))
    # An empty registry: a reference to another document is an error instead of a request.
    return Draft202012Validator(dict(schema), registry=Registry())


def _faults_of(start: Path, error: ValidationError) -> Iterator[Fault]:
    path: Path = (*start, *error.absolute_path)
    rule: object = error.validator_value

    if error.validator == "additionalProperties" and rule is False:
        names = _keys(_keys(error.schema).get("properties"))
        section = _keys(error.instance)
        yield from (unknown_key((*path, key), names) for key in section if key not in names)
    elif error.validator == "type":
        yield Fault(path=path, problem=describe_type(error.instance), expected=_listed(rule, "or"))
    elif error.validator == "required":
        yield Fault(path=path, problem=error.message)
    elif error.validator == "enum":
        expected = f"one of {_listed(rule, ',')}"
        yield Fault(path=path, problem="the value is not allowed", expected=expected)
    else:
        expected = f"{error.validator}: {rule}"
        yield Fault(path=path, problem="the value is not allowed", expected=expected)


def _keys(value: object) -> Mapping[str, object]:
    return value if _is_object(value) else _NOTHING


def _is_object(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, dict)


_NOTHING: Mapping[str, object] = {}


def _listed(rule: object, word: str) -> str:
    joint = f" {word} " if word.isalpha() else f"{word} "
    return str(rule).strip("[]").replace("'", "").replace(", ", joint)
