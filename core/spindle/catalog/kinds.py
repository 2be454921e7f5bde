"""What the control plane knows of each kind: its path, its body, and the way to a record and back.

Everything else about editing is the same for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from spindle.catalog.auth import plain_auth
from spindle.catalog.bodies import (
    SECRETS,
    GatewayBody,
    Governance,
    ModelBody,
    ProviderBody,
    ServerBody,
    ToolBody,
    ToolsetBody,
)
from spindle.config.model_tools import model_tool_spec, said_of
from spindle.config.programs import PROGRAM_KEYS, program_keys, program_spec
from spindle.gateway_addresses import PINS
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    ModelFacts,
    ModelSpec,
    ProviderSpec,
    RecordSpec,
    ServerSpec,
    ToolsetSpec,
    ToolSpec,
)

if TYPE_CHECKING:
    from spindle_spi.policy import Action
    from spindle_spi.types import JsonObject

ToSpec: TypeAlias = Callable[[Governance], tuple[str, RecordSpec]]
"""Returns a record's name and spec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRules:
    """One kind."""

    kind: Kind
    family: str
    """Of its permissions and audit actions; `{family}.read` and so on."""
    path: str
    """Last segment of its collection's path."""
    module: str = ""
    """Id of the module that serves records made here."""
    body: type[Governance] | None = None
    """None: records of this kind are published by upstreams only."""
    to_spec: ToSpec | None = None
    identity: tuple[str, ...] = ("name",)
    """Keys of the body that never change: others know the record by them."""
    section: str = ""
    """Where the configuration declares such a record; `{name}`, `{provider}` and `{slug}`."""

    def permission(self, action: Action) -> str:
        """Return the permission that governing such a record needs."""
        return f"{self.family}.{action.value}"


def _provider(body: Governance) -> tuple[str, RecordSpec]:
    assert isinstance(body, ProviderBody)
    return body.name, ProviderSpec(
        provider_type=body.provider_type,
        api_format=body.api_format,
        urls=body.urls,
        api_version=body.api_version,
        short_timeout=body.short_timeout,
        long_timeout=body.long_timeout,
        timeout=body.timeout,
        max_retries=body.max_retries,
        requests_per_minute=body.requests_per_minute,
        tokens_per_minute=body.tokens_per_minute,
        verify_cert=body.verify_cert,
        enable_discovery=body.enable_discovery,
        default_model=body.default_model,
        fallbacks=body.fallbacks,
        defaults=dict(body.defaults),
        options=dict(body.options),
    )


def _model(body: Governance) -> tuple[str, RecordSpec]:
    assert isinstance(body, ModelBody)
    return f"{body.provider}~{body.upstream_name}", ModelSpec(
        provider=body.provider,
        upstream_name=body.upstream_name,
        aliases=body.aliases,
        model_type=body.model_type,
        context_window=body.context_window,
        max_output_tokens=body.max_output_tokens,
        dimensions=body.dimensions,
        supports=body.supports,
        input_price=body.input_price,
        output_price=body.output_price,
        cache_read_price=body.cache_read_price,
        cache_write_price=body.cache_write_price,
        defaults=dict(body.defaults),
        fallbacks=body.fallbacks,
        fallback_on=body.fallback_on,
        deprecated=body.deprecated,
        facts=ModelFacts(**body.facts.model_dump()),
    )


def _gateway(body: Governance) -> tuple[str, RecordSpec]:
    assert isinstance(body, GatewayBody)
    spec = GatewaySpec(
        transport=body.transport,
        url=body.url,
        era=body.era,
        timeout=body.timeout,
        prefix=body.prefix,
        on_change=body.on_change,
        options=dict(body.options),
    )
    return body.name, program_spec(spec, body, "")


def _server(body: Governance) -> tuple[str, RecordSpec]:
    assert isinstance(body, ServerBody)
    return body.name, ServerSpec(
        slug=body.name,
        gateways=body.gateways,
        tools=body.tools,
        toolsets=body.toolsets,
        models=body.models,
        resources=body.resources,
        prompts=body.prompts,
        mode=body.mode,
        prefix_free=body.prefix_free,
        anonymous=body.anonymous,
        anonymous_permissions=body.anonymous_permissions,
        instructions=body.instructions,
    )


def _tool(body: Governance) -> tuple[str, RecordSpec]:
    assert isinstance(body, ToolBody)
    return body.name, model_tool_spec(body, body.model, body.description)


def _toolset(body: Governance) -> tuple[str, RecordSpec]:
    assert isinstance(body, ToolsetBody)
    return body.name, ToolsetSpec(tools=body.tools)


_ALL = (
    KindRules(
        kind=Kind.PROVIDER,
        family="providers",
        path="providers",
        module="llm",
        body=ProviderBody,
        to_spec=_provider,
        section="llm.services.{name}",
    ),
    KindRules(
        kind=Kind.MODEL,
        family="models",
        path="models",
        module="llm",
        body=ModelBody,
        to_spec=_model,
        identity=("provider", "upstream_name"),
        section="llm.services.{provider}.models",
    ),
    KindRules(
        kind=Kind.GATEWAY,
        family="gateways",
        path="gateways",
        module="mcp",
        body=GatewayBody,
        to_spec=_gateway,
        section="mcp.gateways.{name}",
    ),
    KindRules(
        kind=Kind.SERVER,
        family="servers",
        path="servers",
        body=ServerBody,
        to_spec=_server,
        section="servers.{slug}",
    ),
    KindRules(
        kind=Kind.TOOL,
        family="tools",
        path="tools",
        module="llm",
        body=ToolBody,
        to_spec=_tool,
        section="model_tools.{name}",
    ),
    KindRules(kind=Kind.RESOURCE, family="resources", path="resources"),
    KindRules(kind=Kind.RESOURCE_TEMPLATE, family="resources", path="templates"),
    KindRules(kind=Kind.PROMPT, family="prompts", path="prompts"),
    KindRules(
        kind=Kind.TOOLSET,
        family="toolsets",
        path="toolsets",
        body=ToolsetBody,
        to_spec=_toolset,
        section="toolsets.{name}",
    ),
)

KINDS: dict[Kind, KindRules] = {rules.kind: rules for rules in _ALL}
"""Every kind that is governed here."""


def section_of(record: CatalogRecord) -> str:
    """Return the part of the configuration that declares a record."""
    spec = record.spec
    return KINDS[record.kind].section.format(
        name=record.name,
        provider=spec.provider if isinstance(spec, ModelSpec) else "",
        slug=spec.slug if isinstance(spec, ServerSpec) else "",
    )


def body_of(record: CatalogRecord) -> JsonObject:
    """Return the body a record could be created from again, without its secret."""
    own = KINDS[record.kind].body
    known = set[str]() if own is None else own.model_fields.keys() - SECRETS
    spec: JsonObject = json.loads(json.dumps(asdict(record.spec)))
    data: JsonObject = {key: value for key, value in spec.items() if key in known - PROGRAM_KEYS}

    if isinstance(record.spec, GatewaySpec):
        data |= program_keys(record.spec)

    if "name" in known:
        data["name"] = record.name

    if isinstance(record.spec, ToolSpec):
        for key in ("task", "input_schema", "output_schema"):
            data.pop(key, None)

        data |= said_of(record.spec) if record.spec.model is not None else {}

    auth = data.get("auth")

    if isinstance(auth, dict):
        data["auth"] = plain_auth(auth)

    options = data.get("options")

    if isinstance(options, dict):
        for key in PINS:
            options.pop(key, None)

    return data | governance_of(record)


def governance_of(record: CatalogRecord) -> JsonObject:
    """Return what a record says for itself of its owner, team, visibility and so on."""
    said: JsonObject = {
        "description": record.description,
        "owner": record.owner,
        "team": record.team,
        "visibility": record.visibility.value,
        "enabled": record.enabled,
        "tags": list(record.tags),
    }
    return {key: value for key, value in said.items() if value is not None}


def keep_secret(before: RecordSpec, spec: RecordSpec) -> RecordSpec:
    """Return a spec that refers to the secret of the one before."""
    if isinstance(before, ProviderSpec) and isinstance(spec, ProviderSpec):
        return replace(spec, api_key=before.api_key)

    if isinstance(before, GatewaySpec) and isinstance(spec, GatewaySpec):
        return replace(spec, credential=before.credential)

    return spec
