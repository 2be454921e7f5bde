"""The built-in plugin `schema`: tools' arguments and results, and models' answers, by JSON Schema.

It stands beside the schema a tool brings itself: what an operator wants of a tool they do not own.
Patterns in schemas run on RE2, and nothing is ever fetched.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from spindle.plugins.builtin.re2_library import compile_pattern
from spindle_spi.errors import InvalidArgument
from spindle_spi.plugin import REQUEST_PHASES, HookPhase, Plugin, SegmentKind, refusal
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jsonschema.protocols import Validator

    from spindle_spi.plugin import PluginInput, Segment
    from spindle_spi.types import Json, JsonObject

_ROLES: Final = ("arguments", "result")
_SCHEMA: dict[str, Json] = {"type": ["object", "boolean"]}


class Schema(Plugin):
    """Refuses what its schemas do not take; a refusal names the path, never the value."""

    name = "schema"
    kinds = frozenset({SegmentKind.DOCUMENT, SegmentKind.TEXT})
    phases = frozenset({HookPhase.PRE_INVOKE, HookPhase.POST_INVOKE})
    config_schema: Mapping[str, Json] = {
        "type": "object",
        "properties": {
            "tools": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": dict.fromkeys(_ROLES, _SCHEMA),
                    "additionalProperties": False,
                    "minProperties": 1,
                },
            },
            "answer": _SCHEMA,
        },
        "minProperties": 1,
        "additionalProperties": False,
    }

    def __init__(self, config: JsonObject | None = None) -> None:
        """Read the schemas.

        Raises:
            InvalidArgument: One is none, refers to another document, or has a pattern that is none.
        """
        super().__init__(config)
        tools = cast("Mapping[str, Mapping[str, Json]]", self.config.get("tools", {}))
        self._tools = {
            (name, role): _validator(f"tools.{name}.{role}", schema)
            for name, schemas in tools.items()
            for role, schema in schemas.items()
        }
        answer = self.config.get("answer")
        self._answer = None if answer is None else _validator("answer", answer)

    async def inspect(self, call: PluginInput, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Let what the schemas take pass as it is.

        Raises:
            PluginDenied: A schema does not take it, or an answer is no JSON.
        """
        for segment in segments:
            if segment.kind is SegmentKind.DOCUMENT:
                self._judge_tool(call.target_name, segment)
            elif self._answer is not None and _is_answer(call, segment):
                self._judge("answer", self._answer, segment.text)

        return tuple(segments)

    def _judge_tool(self, name: str, segment: Segment) -> None:
        for (wanted, role), validator in self._tools.items():
            if role == segment.role and fnmatchcase(name, wanted):
                self._judge(role, validator, segment.text)

    def _judge(self, rule: str, validator: Validator, text: str) -> None:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise refusal(self.name, f"{rule}.not_json") from None

        try:
            is_valid = validator.is_valid(value)
        except (Unresolvable, RecursionError):
            is_valid = False

        if not is_valid:
            raise refusal(self.name, rule)


def _is_answer(call: PluginInput, segment: Segment) -> bool:
    if call.target_kind is not Kind.MODEL or call.phase in REQUEST_PHASES:
        return False

    # What a model thinks, or why it refuses, is no answer.
    return "/message/content" in segment.pointer


def _validator(path: str, schema: Json) -> Validator:
    try:
        _CHECKED.check_schema(cast("Any", schema))
        _check_patterns(path, schema)
    except SchemaError as exc:
        raise InvalidArgument(
            f"{path} is no JSON Schema: {exc.message}", code="plugin.schema.invalid"
        ) from None

    # An empty registry: a reference to another document is an error instead of a request.
    return _CHECKED(cast("Any", schema), registry=Registry())


def _check_patterns(path: str, value: Json) -> None:
    """Refuse what would run on a matcher that may never end, or asks for another document."""
    if isinstance(value, list):
        for entry in value:
            _check_patterns(path, entry)

    if not isinstance(value, dict):
        return

    if "patternProperties" in value:
        raise InvalidArgument(
            f"{path}: patternProperties is not taken; name the properties.",
            code="plugin.schema.pattern",
        )

    for key, inner in value.items():
        if key == "pattern" and isinstance(inner, str):
            _compiled(path, inner)
        elif key == "$ref" and isinstance(inner, str) and not inner.startswith("#"):
            raise InvalidArgument(
                f"{path}: refers to another document.", code="plugin.schema.reference"
            )

        _check_patterns(path, inner)


def _compiled(path: str, pattern: str) -> None:
    try:
        compile_pattern(pattern)
    except InvalidArgument as exc:
        raise InvalidArgument(f"{path}: {exc.message}", code=exc.code) from None


def _pattern(
    validator: Validator, pattern: str, instance: object, schema: object
) -> Iterator[ValidationError]:
    del validator, schema

    if not isinstance(instance, str):
        return

    plain = instance.encode("utf-8", "replace").decode()

    if compile_pattern(pattern).search(plain) is None:
        yield ValidationError("does not match")


_LIBRARY: Any = import_module("jsonschema.validators")  # without types of its own
_CHECKED = cast(
    "type[Draft202012Validator]", _LIBRARY.extend(Draft202012Validator, {"pattern": _pattern})
)
