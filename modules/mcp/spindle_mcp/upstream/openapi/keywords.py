"""Single keywords of JSON Schema: which are taken over, and what those of OpenAPI 3.0 become."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_spi.types import Json, JsonObject

_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_LONGEST_TEXT: Final = 4_000
_MAX_DATA: Final = 2_000
_COMBINED: Final = ("$ref", "allOf", "anyOf", "oneOf", "not", "const", "if")
_WORDS: Final = ("title", "description", "default", "deprecated", "examples")


def plain_keywords(schema: JsonObject, *, is_output: bool) -> JsonObject:
    """Return the keywords of a schema that hold no schemas, where they are what they should be."""
    result: JsonObject = {}

    for key, value in schema.items():
        check = _CHECKS.get(key)

        if check is not None and check(value) and not (is_output and key in _LANGUAGE):
            result[key] = value[:_LONGEST_TEXT] if isinstance(value, str) else value

    if "examples" not in result and "example" in schema and is_data(schema["example"]):
        result["examples"] = [schema["example"]]

    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        # A flag beside the bound, before it was a bound itself.
        if schema.get(exclusive) is True and bound in result:
            result[exclusive] = result.pop(bound)

    return result


def with_null(schema: JsonObject) -> JsonObject:
    """Return a schema that takes null as well."""
    kind, choices = schema.get("type"), schema.get("enum")

    if any(key in schema for key in _COMBINED):
        words: JsonObject = {key: schema[key] for key in _WORDS if key in schema}
        rest = {key: value for key, value in schema.items() if key not in _WORDS}
        return {**words, "anyOf": [rest, {"type": "null"}]}

    result = dict(schema)

    if isinstance(kind, str) and kind != "null":
        result["type"] = [kind, "null"]
    elif isinstance(kind, list) and "null" not in kind:
        result["type"] = [*kind, "null"]

    if isinstance(choices, list) and None not in choices:
        result["enum"] = [*choices, None]

    return result


def plain_name(name: str) -> str:
    """Return a name that stands in a reference as it is."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "schema"


def is_data(value: Json) -> bool:
    """Tell whether a value is JSON of a bearable size: no infinities, not endless."""
    ahead, count = [value], 0

    while ahead:
        count += 1
        value = ahead.pop()

        if count > _MAX_DATA or (isinstance(value, float) and not math.isfinite(value)):
            return False

        if isinstance(value, dict):
            ahead.extend(value.values())
        elif isinstance(value, list):
            ahead.extend(value)

    return True


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


def _is_count(value: Json) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Json) -> bool:
    return type(value) is int or (isinstance(value, float) and math.isfinite(value))


def _is_step(value: Json) -> bool:
    return isinstance(value, int | float) and _is_number(value) and value > 0


def _is_flag(value: Json) -> bool:
    return isinstance(value, bool)


def _is_type(value: Json) -> bool:
    kinds = value if isinstance(value, list) else [value]
    names = [kind for kind in kinds if isinstance(kind, str) and kind in _TYPES]
    return bool(names) and len(names) == len(kinds) == len(set(names))


def _is_words(value: Json) -> bool:
    if not isinstance(value, list):
        return False

    words = [word for word in value if isinstance(word, str)]
    return len(words) == len(value) == len(set(words))


def _is_choice(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and is_data(value)


def _is_list(value: Json) -> bool:
    return isinstance(value, list) and is_data(value)


def _is_dependency(value: Json) -> bool:
    return isinstance(value, dict) and all(map(_is_words, value.values()))


def _is_pattern(value: Json) -> bool:
    if not isinstance(value, str) or len(value) > 500:
        return False

    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False

    return True


_LANGUAGE: Final = frozenset({"pattern", "uniqueItems"})
"""What an answer is not judged by: patterns of another language, and what costs too much."""

_CHECKS: Final[dict[str, Callable[[Json], bool]]] = {
    **dict.fromkeys(("title", "description", "format"), _is_text),
    **dict.fromkeys(("contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_count),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), _is_count),
    **dict.fromkeys(("minimum", "maximum"), _is_number),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("uniqueItems", "deprecated"), _is_flag),
    **dict.fromkeys(("const", "default"), is_data),
    "multipleOf": _is_step,
    "type": _is_type,
    "required": _is_words,
    "enum": _is_choice,
    "examples": _is_list,
    "dependentRequired": _is_dependency,
    "pattern": _is_pattern,
}
