"""The catalog record by record, and the registry of providers and models over it.

What a record shows follows from its spec, and what makes one from its body: both are read there.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from spindle.api.catalog import StateBody
from spindle.api.documentation.shapes import (
    FLAG,
    IF_MATCH,
    MAYBE_MOMENT,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    MAYBE_WHOLE,
    OBJECT,
    PAGE,
    TEXT,
    TEXTS,
    WHOLE,
    body_of,
    choice,
    described,
    filters,
    flag,
    one_of,
    page_of,
    read,
    record,
    removal,
    untitled,
    write,
)
from spindle.api.registry_shapes import ModelChanges, NewModel, NewProvider, ProviderChanges
from spindle.catalog.bodies import Governance
from spindle.catalog.kinds import KINDS, KindRules
from spindle_spi.records import SPEC_OF, Kind

if TYPE_CHECKING:
    from spindle_spi.operation import OperationDoc, ParameterDoc
    from spindle_spi.types import Json, JsonObject

_BASE: Final = "/admin/api/v1"
_GUARDED: Final = ("options", "defaults", "definition")
"""Shown in a record's own answer, to those who may change it."""
_PROGRAM: Final = frozenset(
    {"command", "environment", "environment_secrets", "directory", "limits"}
)
"""Keys of a gateway's spec that are shown in the words of its body, and as those above."""
_SHOWN_PROGRAM: Final[dict[str, JsonObject]] = {
    "command": TEXT,
    "args": TEXTS,
    "env": OBJECT,
    "limits": OBJECT,
    "cwd": TEXT,
}
_SECRET: Final = {Kind.PROVIDER: "api_key", Kind.GATEWAY: "credential"}
_SOURCE: Final = {
    Kind.MODEL: "provider",
    Kind.TOOL: "gateway",
    Kind.RESOURCE: "gateway",
    Kind.RESOURCE_TEMPLATE: "gateway",
    Kind.PROMPT: "gateway",
}
_VISIBILITY: Final = ("public", "team", "private")
_AUTHORSHIP: Final[dict[str, JsonObject]] = {
    "created_at": MAYBE_MOMENT,
    "created_by": MAYBE_TEXT,
    "updated_at": MAYBE_MOMENT,
    "updated_by": MAYBE_TEXT,
}
_GOVERNED: Final[dict[str, JsonObject]] = {
    "description": TEXT,
    "owner": MAYBE_TEXT,
    "team": MAYBE_TEXT,
    "visibility": one_of(*_VISIBILITY),
    "enabled": FLAG,
    "origin": TEXT,
    "tags": TEXTS,
    "epoch": WHOLE,
}


def catalog() -> dict[str, OperationDoc]:
    """Return the operations of this area, by route."""
    found: dict[str, OperationDoc] = {}

    for rules in KINDS.values():
        found |= _of_kind(rules)

    return found | _providers() | _models()


def _of_kind(rules: KindRules) -> dict[str, OperationDoc]:
    path = f"{_BASE}/{rules.path}"
    one = f"{path}/{{id:path}}"
    word = rules.kind.value.replace("_", " ")
    shown = shown_record(rules.kind)
    source = _SOURCE.get(rules.kind)
    query = (*_filters(), *(() if source is None else filters(source)))
    said = {
        f"GET {path}": read(f"List the {word}s one may know of", page_of(shown), query=query),
        f"GET {one}": read(f"Show a {word}, by id or name", shown),
        f"PATCH {one}": described(
            write(
                f"Change a {word}",
                shown,
                changes_of(rules.body or Governance),
                parameters=(IF_MATCH,),
            ),
            "A null gives a key back to its default (RFC 7396).",
        ),
        f"POST {path}/{{id}}/state": write(
            f"Switch a {word} on or off", shown, body_of(StateBody), parameters=(IF_MATCH,)
        ),
    }

    if rules.body is not None:
        said[f"POST {path}"] = write(f"Make a {word}", shown, new_of(rules.body), status=201)
        said[f"DELETE {one}"] = removal(f"Delete a {word}")

    return said


def _filters() -> tuple[ParameterDoc, ...]:
    return (
        choice("visibility", *_VISIBILITY),
        *filters("team", "owner"),
        flag("enabled"),
        *filters("origin", "tag", "q"),
        *PAGE,
    )


def shown_record(kind: Kind) -> JsonObject:
    """Return the schema of a record as the control plane shows it."""
    spec = SPEC_OF[kind]
    schema = untitled(TypeAdapter(spec).json_schema(mode="serialization"))
    properties = schema["properties"]
    assert isinstance(properties, dict)
    hidden = {"api_key", "credential", "description", *_PROGRAM}
    program = _SHOWN_PROGRAM if kind is Kind.GATEWAY else {}
    own = {field.name: properties[field.name] for field in fields(spec) if field.name not in hidden}
    secret = _SECRET.get(kind)
    said = {} if secret is None else {f"{secret}_set": FLAG, f"{secret}_ref": MAYBE_TEXT}
    shown = record(
        f"Shown{spec.__name__.removesuffix('Spec')}",
        optional=(*_GUARDED, *program, *_AUTHORSHIP),
        id=TEXT,
        kind={"const": kind.value},
        name=TEXT,
        module=TEXT,
        **_GOVERNED,
        **{name: each for name, each in own.items() if isinstance(each, dict)},
        **program,
        **said,
        **_AUTHORSHIP,
    )
    defs = schema.get("$defs")
    kept = _objects(defs)

    kept.pop("ProcessLimits", None)

    if kind is not Kind.GATEWAY:
        # Only its `auth` shows what its secrets are called.
        kept.pop("SecretRef", None)

    if kept:
        shown["$defs"] = kept

    return shown


def new_of(body: type[Governance]) -> JsonObject:
    """Return what makes a record: its body, in which a null is the default."""
    schema = body_of(body)
    schema["properties"] = _nullable(schema["properties"])
    return schema


def changes_of(body: type[Governance]) -> JsonObject:
    """Return what changes a record: any keys of its body, each of which may be given back."""
    schema = _optional(body_of(body))
    defs = schema.get("$defs")

    if isinstance(defs, dict):
        # A change goes into what is inside as well.
        schema["$defs"] = {
            f"{name}Changes" if _is_object(each) else name: _optional(each)
            for name, each in defs.items()
            if isinstance(each, dict)
        }
        objects = [name for name, each in defs.items() if _is_object(each)]
        schema["properties"] = _pointed(schema["properties"], objects)

    schema["title"] = f"{body.__name__}Changes"
    return schema


def _optional(schema: JsonObject) -> JsonObject:
    if not _is_object(schema):
        return schema

    kept = {key: value for key, value in schema.items() if key not in ("required", "title")}
    kept["properties"] = _nullable(schema["properties"])
    return kept


def _is_object(schema: Json) -> bool:
    return isinstance(schema, dict) and "properties" in schema


def _nullable(properties: Json) -> JsonObject:
    assert isinstance(properties, dict)
    null: JsonObject = {"type": "null"}
    return {name: {"anyOf": [each, null]} for name, each in properties.items()}


def _pointed(value: Json, objects: list[str]) -> Json:
    if isinstance(value, list):
        return [_pointed(each, objects) for each in value]

    if not isinstance(value, dict):
        return value

    reference = value.get("$ref")

    if isinstance(reference, str) and reference.removeprefix("#/$defs/") in objects:
        return {**value, "$ref": f"{reference}Changes"}

    return {key: _pointed(each, objects) for key, each in value.items()}


_CAPABILITIES: Final = ("chat", "streaming", "function_calling", "vision", "embedding")
_BESIDE: Final[dict[str, JsonObject]] = {
    "plugin_ids": {"type": ["array", "null"], "items": {"type": "string"}},
    **_AUTHORSHIP,
}
_REGISTERED_PROVIDER: Final = record(
    "RegisteredProvider",
    id=TEXT,
    name=TEXT,
    slug=TEXT,
    provider_type=TEXT,
    endpoint=MAYBE_TEXT,
    api_base=MAYBE_TEXT,
    api_bases=TEXTS,
    api_version=MAYBE_TEXT,
    api_key_set=FLAG,
    api_key_ref=MAYBE_TEXT,
    config=record(
        "RegisteredConfig",
        optional=("options",),
        timeout=MAYBE_NUMBER,
        inactivity_timeout=MAYBE_NUMBER,
        connect_timeout=MAYBE_NUMBER,
        max_retries=WHOLE,
        rpm=MAYBE_WHOLE,
        tpm=MAYBE_WHOLE,
        verify_cert=FLAG,
        enable_discovery=FLAG,
        options=OBJECT,
    ),
    default_model=MAYBE_TEXT,
    default_temperature={},
    default_max_tokens={},
    fallbacks=TEXTS,
    is_active=FLAG,
    health_status=MAYBE_TEXT,
    last_health_check=MAYBE_TEXT,
    **_GOVERNED,
    **_BESIDE,
)
_REGISTERED_MODEL: Final = record(
    "RegisteredModel",
    id=TEXT,
    name=TEXT,
    model_name=TEXT,
    model_id=TEXT,
    model_alias=MAYBE_TEXT,
    aliases=TEXTS,
    provider=TEXT,
    provider_id=MAYBE_TEXT,
    provider_type=MAYBE_TEXT,
    type=TEXT,
    **{f"supports_{word}": FLAG for word in _CAPABILITIES},
    feature_flags=TEXTS,
    context_window=MAYBE_WHOLE,
    max_tokens=MAYBE_WHOLE,
    max_output_tokens=MAYBE_WHOLE,
    dimensions=MAYBE_WHOLE,
    cost_metrics=record(
        "CostMetrics",
        input=MAYBE_NUMBER,
        output=MAYBE_NUMBER,
        cache_read=MAYBE_NUMBER,
        cache_write=MAYBE_NUMBER,
    ),
    fallbacks=TEXTS,
    fallback_on=TEXTS,
    deprecated=FLAG,
    is_available=FLAG,
    state=TEXT,
    publisher=MAYBE_TEXT,
    architecture=MAYBE_TEXT,
    quantization=MAYBE_TEXT,
    size=MAYBE_WHOLE,
    parameters=MAYBE_WHOLE,
    runtime_name=MAYBE_TEXT,
    file_path=MAYBE_TEXT,
    modified_at=MAYBE_WHOLE,
    streaming=FLAG,
    instructed=FLAG,
    coding=FLAG,
    tooling=FLAG,
    is_mlx=FLAG,
    is_gguf=FLAG,
    **_GOVERNED,
    **_BESIDE,
)
_NULLS: Final = "A null is the default; what is left out stays."


def _providers() -> dict[str, OperationDoc]:
    path, shown = "/llm/providers", _REGISTERED_PROVIDER
    one = f"{path}/{{id}}"
    return {
        f"GET {path}": read("List the registered providers", page_of(shown), query=_filters()),
        f"POST {path}": write("Register a provider", shown, body_of(NewProvider), status=201),
        f"GET {one}": read("Show a registered provider", shown),
        f"PATCH {one}": described(
            write(
                "Change a registered provider",
                shown,
                body_of(ProviderChanges),
                parameters=(IF_MATCH,),
            ),
            _NULLS,
        ),
        f"DELETE {one}": removal("Take a provider out of the registry"),
        f"POST {one}/state": write(
            "Switch a provider on or off", shown, body_of(StateBody), parameters=(IF_MATCH,)
        ),
    }


def _models() -> dict[str, OperationDoc]:
    path, shown = "/llm/models", _REGISTERED_MODEL
    one = f"{path}/{{id:path}}"
    return {
        f"GET {path}": read(
            "List the registered models", page_of(shown), query=(*_filters(), *filters("provider"))
        ),
        f"POST {path}": write("Register a model", shown, body_of(NewModel), status=201),
        f"GET {one}": read("Show a registered model, by id, name or alias", shown),
        f"PATCH {one}": described(
            write(
                "Change a registered model",
                shown,
                body_of(ModelChanges),
                parameters=(IF_MATCH,),
            ),
            _NULLS,
        ),
        f"DELETE {one}": removal("Take a model out of the registry"),
        f"POST {path}/{{id}}/state": write(
            "Switch a model on or off", shown, body_of(StateBody), parameters=(IF_MATCH,)
        ),
    }


def _objects(value: Json) -> JsonObject:
    return dict(value) if isinstance(value, dict) else {}
