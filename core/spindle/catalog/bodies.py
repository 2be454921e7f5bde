"""Catalog records as plain JSON says them: one model a kind, with the configuration's own rules.

A record is created from a whole body. A change is merged into the body of the record as it is and
the result is read as a whole: what is wrong after a change is wrong at a creation, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, JsonValue, ValidationError
from pydantic.fields import FieldInfo

from spindle.catalog.auth import AuthBody
from spindle.config.catalog import (
    POSITIVE_TOKENS,
    Capability,
    Mode,
    OnChange,
    Owned,
    Price,
    Tokens,
    Trigger,
)
from spindle.config.checks import address_faults, owner_faults
from spindle.config.faults import Fault, model_fault, render_fault
from spindle.config.model_tools import AsksModel, model_tool_faults
from spindle.config.names import NAME, PREFIX, SLUG, TOOL, NameRule
from spindle.config.openapi import TRANSPORT, openapi_faults
from spindle.config.programs import GatewayKeys, stored_faults, transport_faults
from spindle.config.sections import Count, Seconds, Section, Text, Url, refuse
from spindle.gateway_addresses import PINS
from spindle_spi.errors import InvalidArgument
from spindle_spi.types import JsonObject

_MAX_FAULTS = 20
_MAX_TAGS = 50

NAMED_PROVIDER: Mapping[str, str] = {"name": "POL-LLM-001"}
"""ProviderHasName."""

T = TypeVar("T", bound=Section)
G = TypeVar("G", bound="Governance")


def _named(rule: NameRule) -> AfterValidator:
    def check(value: str) -> str:
        if not rule.admits(value):
            raise refuse(f"{value[:80]!r} is not a name", rule.words)

        return value

    return AfterValidator(check)


def _spelt(rule: NameRule) -> FieldInfo:
    """Return the rule as JSON Schema says it, for whoever reads the schema of a body."""
    said: FieldInfo = Field(json_schema_extra={"pattern": f"^{rule.pattern.pattern}$"})
    return said


def _check_alias(value: str) -> str:
    if "~" in value:
        raise refuse(f"{value[:80]!r} looks like a unified name", "a name without '~'")

    return value


def _check_options(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for key in value.keys() & PINS:
        raise refuse(f"{key!r} is the gateway's own to set", "other keys")

    return value


Tags = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=100)], ...], Field(max_length=_MAX_TAGS)
]
Line = Annotated[str, Field(min_length=1, max_length=500)]
Options = Annotated[dict[str, JsonValue], AfterValidator(_check_options)]


Few = Field(max_length=50)
"""Of what is tried one after the other, or looked at with every change."""
Many = Annotated[tuple[Text, ...], Field(max_length=2_000)]


class Governance(Owned):
    """What every record has; None leaves it to the defaults of its place."""

    description: Annotated[str, Field(max_length=10_000)] | None = None
    owner: Line | None = None
    team: Line | None = None
    enabled: bool | None = None
    tags: Tags | None = None


class ProviderBody(Governance):
    """A model provider."""

    policies = NAMED_PROVIDER
    name: Annotated[str, _named(NAME), _spelt(NAME)]
    provider_type: Text = "openai"
    api_format: Literal["openai"] = "openai"
    urls: Annotated[tuple[Url, ...], Few] = ()
    api_key: Annotated[str, Field(min_length=1, max_length=65_536)] | None = Field(
        default=None, repr=False
    )
    """Write-only."""
    api_version: Line | None = None
    short_timeout: Seconds = 5.0
    long_timeout: Seconds = 180.0
    timeout: Seconds | None = None
    max_retries: Annotated[int, Field(ge=0, le=10)] = 0
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    verify_cert: bool = True
    enable_discovery: bool = False
    default_model: Line | None = None
    fallbacks: Annotated[tuple[Text, ...], Few] = ()
    defaults: dict[str, JsonValue] = {}
    options: Options = {}


class FactsBody(Section):
    """What is known of a model's weights."""

    publisher: Line | None = None
    architecture: Line | None = None
    quantization: Line | None = None
    size: Count | None = None
    parameters: Count | None = None
    runtime: Line | None = None
    file_path: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    modified_at: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = None
    instructed: bool = False
    coding: bool = False
    is_mlx: bool = False
    is_gguf: bool = False


class ModelBody(Governance):
    """A model of one provider; its name is `provider~upstream_name`."""

    policies = POSITIVE_TOKENS
    provider: Text
    upstream_name: Line
    aliases: Annotated[tuple[Annotated[Line, AfterValidator(_check_alias)], ...], Few] = ()
    model_type: Literal["llm", "vlm", "embeddings", "vision", "unknown"] = "llm"
    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    dimensions: Tokens | None = None
    supports: tuple[Capability, ...] = ("chat", "streaming")
    input_price: Price | None = None
    output_price: Price | None = None
    cache_read_price: Price | None = None
    cache_write_price: Price | None = None
    defaults: dict[str, JsonValue] = {}
    fallbacks: Annotated[tuple[Text, ...], Few] = ()
    fallback_on: tuple[Trigger, ...] = ("error", "rate_limit")
    deprecated: bool = False
    facts: FactsBody = FactsBody()


class GatewayBody(Governance, GatewayKeys):
    """An upstream MCP server, or a REST API as one; see `programs` for those that are started."""

    name: Annotated[str, _named(NAME), _spelt(NAME)]
    credential: Annotated[str, Field(min_length=1, max_length=65_536)] | None = Field(
        default=None, repr=False
    )
    """Write-only."""
    auth: AuthBody | None = None
    timeout: Seconds = 60.0
    prefix: Annotated[str, _named(PREFIX), _spelt(PREFIX)] | None = None
    on_change: OnChange | None = None
    options: Options = {}


class ServerBody(Governance):
    """A virtual server, served at `/servers/{name}/mcp`."""

    name: Annotated[str, _named(SLUG), _spelt(SLUG)]
    gateways: Many = ()
    tools: Many = ()
    toolsets: Many = ()
    models: Many = ()
    resources: Many = ()
    prompts: Many = ()
    mode: Mode | None = None
    prefix_free: bool = False
    anonymous: bool = False
    anonymous_permissions: tuple[Text, ...] = ("tools.read", "tools.execute")
    instructions: Text | None = None


class ToolBody(Governance, AsksModel):
    """A model as a tool; upstreams' tools are published, not made."""

    name: Annotated[str, _named(TOOL), _spelt(TOOL)]


class ToolsetBody(Governance):
    """A named selection of tools."""

    name: Annotated[str, _named(NAME), _spelt(NAME)]
    tools: Many = ()


SECRETS = {"api_key", "credential"}
"""Write-only keys."""


def read_body(model: type[T], data: JsonObject) -> T:
    """Return plain JSON as a body; a null is the default.

    Raises:
        InvalidArgument: It is none; every fault is named by its path.
    """
    given = {key: value for key, value in data.items() if value is not None}

    try:
        return model.model_validate_json(json.dumps(given))
    except ValidationError as exc:
        errors = exc.errors(include_url=False)

    raise _invalid(model_fault(error, model) for error in errors[:_MAX_FAULTS])


def read_record(model: type[G], data: JsonObject) -> G:
    """Return plain JSON as the body of a record that does not contradict itself.

    Raises:
        InvalidArgument: It is none; every fault is named by its path.
    """
    body = read_body(model, data)
    faults = [*owner_faults((), body)]

    match body:
        case ProviderBody():
            faults += address_faults((), body.provider_type, body.urls)
        case GatewayBody():
            faults += [*transport_faults((), body), *stored_faults((), body)]

            if body.transport == "stdio" and body.credential is not None:
                problem = "nothing is sent along with the messages to a program"
                faults.append(Fault(path=("credential",), problem=problem))

            if body.transport == TRANSPORT:
                faults += openapi_faults((), body.options, body.url, is_configured=False)
        case ToolBody():
            faults += model_tool_faults((), body)
        case _:
            pass

    if faults:
        raise _invalid(faults)

    return body


def _invalid(faults: Iterable[Fault]) -> InvalidArgument:
    said = "; ".join(render_fault(fault, {}) for fault in faults)
    return InvalidArgument(f"{said}.", code="core.record.invalid")


def merged(body: JsonObject, changes: JsonObject) -> JsonObject:
    """Return a body with changes in it (RFC 7396): a null takes a key out, objects are merged."""
    result = dict(body)

    for key, value in changes.items():
        before = result.get(key)

        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(before, dict):
            result[key] = merged(before, value)
        else:
            result[key] = value

    return result


def plain(body: Section) -> JsonObject:
    """Return a body as JSON, without what is not set."""
    data: JsonObject = json.loads(body.model_dump_json(exclude_none=True))
    return data
