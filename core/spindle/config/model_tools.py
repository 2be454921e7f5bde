"""Models as tools: what is said of one, and the arguments and answers it has by default."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

from pydantic import JsonValue

from spindle.config.faults import Fault, Path
from spindle.config.sections import Section, Text
from spindle_spi.records import ToolSpec
from spindle_spi.types import Json, JsonObject

_MAX_SCHEMA = 65_536

_TEXT: JsonObject = {"type": "string", "minLength": 1}
_USAGE: JsonObject = {"type": "integer", "minimum": 0}
_MESSAGE: JsonObject = {
    "type": "object",
    "properties": {
        "role": {"type": "string", "enum": ["system", "user", "assistant"]},
        "content": _TEXT,
    },
    "required": ["role", "content"],
    "additionalProperties": False,
}

CHAT_INPUT: JsonObject = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string", "description": "What to ask the model."},
        "messages": {
            "type": "array",
            "items": _MESSAGE,
            "description": "A conversation, before the prompt or in its place.",
        },
        "system": {"type": "string", "description": "Instructions for the model."},
        "max_tokens": {"type": "integer", "minimum": 1, "description": "Longest answer."},
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        "top_p": {"type": "number", "minimum": 0, "maximum": 1},
        "stop": {"type": "array", "items": _TEXT, "description": "Texts that end the answer."},
        "seed": {"type": "integer"},
    },
    "additionalProperties": False,
}
CHAT_OUTPUT: JsonObject = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "model": {"type": "string"},
        "finish_reason": {"type": ["string", "null"]},
        "usage": {
            "type": "object",
            "properties": {"input_tokens": _USAGE, "output_tokens": _USAGE},
        },
    },
    "required": ["text"],
}
EMBEDDINGS_INPUT: JsonObject = {
    "type": "object",
    "properties": {
        "input": {
            "type": ["string", "array"],
            "items": _TEXT,
            "description": "A text, or several.",
        },
        "dimensions": {"type": "integer", "minimum": 1, "description": "Length of the vectors."},
    },
    "required": ["input"],
    "additionalProperties": False,
}
EMBEDDINGS_OUTPUT: JsonObject = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "embeddings": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "usage": {"type": "object", "properties": {"input_tokens": _USAGE}},
    },
    "required": ["embeddings"],
}
_INPUT = {"chat": CHAT_INPUT, "embeddings": EMBEDDINGS_INPUT}
_OUTPUT = {"chat": CHAT_OUTPUT, "embeddings": EMBEDDINGS_OUTPUT}


class AsksModel(Section):
    """What is said of a tool that asks a model."""

    model: Text
    task: Literal["chat", "embeddings"] = "chat"
    title: Text | None = None
    input_schema: dict[str, JsonValue] | None = None
    """Of the arguments there are, those this tool takes, and how."""
    output_schema: dict[str, JsonValue] | None = None
    """The object a chat's answer has to be."""


def model_tool_spec(said: AsksModel, model: str, description: str | None) -> ToolSpec:
    """Return the spec of a tool that asks a model, by its unified name."""
    is_formed = said.output_schema is not None
    return ToolSpec(
        model=model,
        task="object" if is_formed else said.task,
        title=said.title,
        description=description or f"Asks the model {said.model}.",
        input_schema=_INPUT[said.task] if said.input_schema is None else dict(said.input_schema),
        output_schema=_OUTPUT[said.task]
        if said.output_schema is None
        else dict(said.output_schema),
    )


def said_of(spec: ToolSpec) -> JsonObject:
    """Return what makes such a spec again, without what it has by default."""
    task = "chat" if spec.task == "object" else spec.task
    said: JsonObject = {"task": task}

    if spec.input_schema != _INPUT.get(task):
        said["input_schema"] = spec.input_schema

    if spec.task == "object":
        said["output_schema"] = spec.output_schema

    return said


def model_tool_faults(path: Path, said: AsksModel) -> Iterator[Fault]:
    """Return what is wrong with the schemas of a tool that asks a model."""
    known = _INPUT[said.task]["properties"]
    assert isinstance(known, dict)

    if said.input_schema is not None:
        where = (*path, "input_schema")
        yield from _schema_faults(where, said.input_schema)
        given = said.input_schema.get("properties")

        for name in given if isinstance(given, dict) else ():
            if name not in known:
                yield Fault(
                    path=(*where, "properties", name),
                    problem="is no argument of a model",
                    expected=f"some of {', '.join(known)}",
                )

    if said.output_schema is not None:
        where = (*path, "output_schema")
        yield from _schema_faults(where, said.output_schema)

        if said.task != "chat":
            yield Fault(path=where, problem="vectors have a form of their own")


def _schema_faults(path: Path, schema: dict[str, JsonValue]) -> Iterator[Fault]:
    if len(json.dumps(schema)) > _MAX_SCHEMA:
        yield Fault(path=path, problem=f"is longer than {_MAX_SCHEMA} bytes")
        return

    if schema.get("type") != "object":
        yield Fault(path=(*path, "type"), problem="is not 'object'", expected="'object'")

    # Heavy, and seldom needed.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        yield Fault(path=path, problem="is no JSON Schema", expected="one of 2020-12")
        return

    if any(not reference.startswith("#") for reference in _references(schema)):
        yield Fault(path=path, problem="refers to something outside of it", expected="'#/…'")


def _references(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")

        if isinstance(reference, str):
            yield reference

        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
