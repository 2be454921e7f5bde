"""Catalog records: what the core governs. One record type, one spec per kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from spindle_spi._construction import quickly_made
from spindle_spi.gateway_auth import GatewayAuth
from spindle_spi.secret import SecretRef
from spindle_spi.types import Json, JsonObject


class Kind(StrEnum):
    """Kinds of records."""

    PROVIDER = "provider"
    MODEL = "model"
    GATEWAY = "gateway"
    SERVER = "server"
    TOOL = "tool"
    RESOURCE = "resource"
    RESOURCE_TEMPLATE = "resource_template"
    PROMPT = "prompt"
    TOOLSET = "toolset"
    ROOT = "root"
    AGENT = "agent"


class Visibility(StrEnum):
    """Who may see a record, beside administrators with an unscoped token."""

    PUBLIC = "public"
    TEAM = "team"
    PRIVATE = "private"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """A model provider: where it is and how to speak to it. Never its key, only the reference."""

    provider_type: str
    """The adapter: `openai`, `mock`, …"""
    api_format: str = "openai"
    urls: tuple[str, ...] = ()
    api_key: SecretRef | None = None
    short_timeout: float = 5.0
    """Seconds, for health checks and discovery."""
    long_timeout: float = 180.0
    """Seconds without a byte from the upstream before a completion is given up."""
    timeout: float | None = None
    """Seconds a completion may take altogether; None leaves it to `long_timeout`."""
    max_retries: int = 0
    """How often a model of this provider is asked again before the next alternative is."""
    requests_per_minute: int | None = None
    """What the provider takes from this gateway."""
    tokens_per_minute: int | None = None
    verify_cert: bool = True
    enable_discovery: bool = False
    api_version: str | None = None
    api_key_env_var: str | None = None
    """Where the configuration takes the key from, for people to read; `api_key` is to be used."""
    default_model: str | None = None
    """Upstream name of the model that stands for the provider."""
    fallbacks: tuple[str, ...] = ()
    """Names of providers, in order: their model of the same upstream name is an alternative, after
    those that the model itself names."""
    defaults: dict[str, Json] = field(default_factory=dict[str, Json])
    """Request parameters for all its models, where neither request nor model gives them."""
    options: dict[str, Json] = field(default_factory=dict[str, Json])
    """Settings of the adapter itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known of a model's weights and of what runs it; nothing is decided by it."""

    publisher: str | None = None
    architecture: str | None = None
    """qwen, llama3, gpt, …"""
    quantization: str | None = None
    size: int | None = None
    """Bytes."""
    parameters: int | None = None
    runtime: str | None = None
    """llama.cpp, MLX, ONNX, …"""
    file_path: str | None = None
    modified_at: int | None = None
    """Seconds since the epoch."""
    instructed: bool = False
    coding: bool = False
    is_mlx: bool = False
    is_gguf: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model of one provider. The record's name is the unified name, `provider~upstream`."""

    provider: str
    """Name of the provider record."""
    upstream_name: str
    aliases: tuple[str, ...] = ()
    model_type: str = "llm"
    """llm, vlm, embeddings, vision or unknown."""
    context_window: int | None = None
    max_output_tokens: int | None = None
    dimensions: int | None = None
    """Numbers in a vector of an embedding model; None when nobody said."""
    supports: tuple[str, ...] = ("chat", "streaming")
    """Of: chat, streaming, function_calling, vision, embedding."""
    input_price: float | None = None
    """US dollars per million input tokens."""
    output_price: float | None = None
    """US dollars per million output tokens."""
    cache_read_price: float | None = None
    """US dollars per million input tokens that the provider had kept; None is `input_price`."""
    cache_write_price: float | None = None
    """US dollars per million input tokens that the provider keeps; None is `input_price`."""
    defaults: dict[str, Json] = field(default_factory=dict[str, Json])
    """Request parameters the operator wants set where a request gives none."""
    fallbacks: tuple[str, ...] = ()
    """Unified names of the permitted alternatives, in order."""
    fallback_on: tuple[str, ...] = ("error", "rate_limit")
    """What lets them answer. Of: error, rate_limit, context_length."""
    created: int = 0
    """Seconds since the epoch, as `/v1/models` shows it."""
    state: str = "unknown"
    """Run-time state as its module published it: loaded, not_loaded, downloading, error, …"""
    deprecated: bool = False
    """Served, but shown as one not to be taken up."""
    facts: ModelFacts = ModelFacts()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLimits:
    """What a program may use at most, as the system counts it; None leaves it to the system."""

    memory_mb: int | None = None
    """Megabytes of address space, of each of its processes."""
    cpu_seconds: int | None = None
    """Of each of its processes."""
    open_files: int | None = None
    processes: int | None = None
    """Of the user it runs as, those of others among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySpec:
    """An upstream MCP server, or what is served as one."""

    transport: str = "streamable_http"
    """streamable_http, sse, stdio, openapi or builtin."""
    url: str | None = None
    era: str = "auto"
    """auto, modern or legacy: which protocol generation the upstream speaks."""
    credential: SecretRef | None = None
    """Sent as `Authorization: Bearer`, or as the document says; never the caller's own token."""
    auth: GatewayAuth | None = None
    """Any other way to prove itself; for `authorization_code` the credential reads lists."""
    command: tuple[str, ...] = ()
    """stdio only; from configuration or by a platform administrator only."""
    environment: dict[str, str] = field(default_factory=dict[str, str])
    """Variables of a program, beside the few every program is given. No secrets."""
    environment_secrets: dict[str, SecretRef] = field(default_factory=dict[str, SecretRef])
    """Variables of a program whose values are secrets."""
    directory: str | None = None
    """Working folder of a program, absolute."""
    limits: ProcessLimits = ProcessLimits()
    timeout: float = 60.0
    """Seconds an upstream call may take without progress."""
    prefix: str | None = None
    """What names of its tools begin with in place of its own name; unique among gateways."""
    on_change: str | None = None
    """What becomes of a definition that changed: allow, warn or hold; None is the default."""
    options: dict[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """A virtual server: the part of the catalog one endpoint shows."""

    slug: str
    gateways: tuple[str, ...] = ()
    """Every tool, resource and prompt of these gateways belongs to it."""
    tools: tuple[str, ...] = ()
    toolsets: tuple[str, ...] = ()
    """Names of toolsets whose tools belong to it."""
    models: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    mode: str | None = None
    """How its tools are offered: `list`, `search`, or None as the module's settings say."""
    prefix_free: bool = False
    """Show upstream names; only over exactly one gateway."""
    anonymous: bool = False
    """A caller without a token may come in, with a public view."""
    anonymous_permissions: tuple[str, ...] = ("tools.read", "tools.execute")
    instructions: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool. Exactly one of `gateway` (an upstream's tool) and `model` (a model as a tool)."""

    gateway: str | None = None
    """Name of the gateway record."""
    upstream_name: str = ""
    model: str | None = None
    """Unified name of the model this tool asks."""
    task: str = "chat"
    """What the model is asked for: chat, object (an answer of `output_schema`) or embeddings."""
    title: str | None = None
    description: str = ""
    input_schema: dict[str, Json] = field(default_factory=dict[str, Json])
    output_schema: dict[str, Json] | None = None
    definition: dict[str, Json] = field(default_factory=dict[str, Json])
    """The tool as its protocol shows it (annotations, icons, _meta, …), verbatim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSpec:
    """A resource of an upstream."""

    gateway: str
    uri: str
    mime_type: str | None = None
    definition: dict[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceTemplateSpec:
    """A resource template of an upstream."""

    gateway: str
    uri_template: str
    mime_type: str | None = None
    definition: dict[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSpec:
    """A prompt of an upstream."""

    gateway: str
    upstream_name: str
    arguments: tuple[str, ...] = ()
    definition: dict[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsetSpec:
    """A named selection of tools."""

    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionSpec:
    """The spec of a kind this version of the contract gives no shape to (root, agent)."""

    data: JsonObject = field(default_factory=dict[str, Json])


RecordSpec: TypeAlias = (
    ProviderSpec
    | ModelSpec
    | GatewaySpec
    | ServerSpec
    | ToolSpec
    | ResourceSpec
    | ResourceTemplateSpec
    | PromptSpec
    | ToolsetSpec
    | ExtensionSpec
)

SPEC_OF: dict[Kind, type[RecordSpec]] = {
    Kind.PROVIDER: ProviderSpec,
    Kind.MODEL: ModelSpec,
    Kind.GATEWAY: GatewaySpec,
    Kind.SERVER: ServerSpec,
    Kind.TOOL: ToolSpec,
    Kind.RESOURCE: ResourceSpec,
    Kind.RESOURCE_TEMPLATE: ResourceTemplateSpec,
    Kind.PROMPT: PromptSpec,
    Kind.TOOLSET: ToolsetSpec,
    Kind.ROOT: ExtensionSpec,
    Kind.AGENT: ExtensionSpec,
}


def backend_name(spec: RecordSpec) -> tuple[Kind, str] | None:
    """Return kind and name of what serves a record: a model's provider, a tool's gateway."""
    match spec:
        case ModelSpec():
            return Kind.PROVIDER, spec.provider
        case ToolSpec(gateway=str(gateway)):
            return Kind.GATEWAY, gateway
        case ResourceSpec() | ResourceTemplateSpec() | PromptSpec():
            return Kind.GATEWAY, spec.gateway
        case _:
            return None


def other_names(spec: RecordSpec) -> tuple[str, ...]:
    """Return what else a record is known by: aliases, a server's slug, a gateway's prefix."""
    match spec:
        case ModelSpec():
            return spec.aliases
        case ServerSpec():
            return (spec.slug,)
        case GatewaySpec(prefix=str(prefix)):
            return (prefix,)
        case _:
            return ()


def fallbacks_of(spec: RecordSpec, backend: RecordSpec | None) -> tuple[str, ...]:
    """Return the names of what may answer in a model's place, in order.

    First those it names itself, then its provider's chain: at each of those providers the model
    of the same upstream name. Who may see and use them is for the policy to say.
    """
    if not isinstance(spec, ModelSpec):
        return ()

    if not isinstance(backend, ProviderSpec) or not backend.fallbacks:
        return spec.fallbacks

    chain = tuple(f"{provider}~{spec.upstream_name}" for provider in backend.fallbacks)
    return spec.fallbacks + chain


def secret_of(spec: RecordSpec) -> SecretRef | None:
    """Return the secret a record refers to: a provider's key, a gateway's credential."""
    match spec:
        case ProviderSpec():
            return spec.api_key
        case GatewaySpec():
            return spec.credential
        case _:
            return None


def secrets_of(spec: RecordSpec) -> tuple[SecretRef, ...]:
    """Return every secret a record refers to, so that its module may ask for them."""
    own = secret_of(spec)
    found = () if own is None else (own,)

    if not isinstance(spec, GatewaySpec):
        return found

    shown = () if spec.auth is None else spec.auth.secrets()
    return (*found, *spec.environment_secrets.values(), *shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogRecord:
    """One governed thing, as the core keeps it."""

    id: str
    kind: Kind
    name: str
    """Unique among the records of its kind; what callers say."""
    spec: RecordSpec
    module: str = ""
    """Id of the module that serves it."""
    description: str = ""
    owner: str | None = None
    """E-mail of the person it belongs to."""
    team: str | None = None
    visibility: Visibility = Visibility.PRIVATE
    enabled: bool = True
    origin: str = "api"
    """`config`, `api`, or the source that published it: decides who may edit it."""
    tags: tuple[str, ...] = ()
    server_ids: tuple[str, ...] = ()
    """Virtual servers that show it; derived when the catalog is compiled."""
    epoch: int = 0
    """Rises with every change of this record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRecord:
    """What a module says exists; the core decides who sees it."""

    kind: Kind
    name: str
    spec: RecordSpec
    description: str = ""
    tags: tuple[str, ...] = ()


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something a source offers that its module does not publish, or not to everybody."""

    kind: Kind
    name: str
    """As the source calls it."""
    reason: str
    is_partial: bool = False
    """It is published all the same, but not for those clients, or without that part of its
    definition, which the reason names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A record as a caller names it."""

    kind: Kind
    name: str
    """Name or alias; or an id, with `by_id`."""
    by_id: bool = False


def with_toolsets(server: ServerSpec, toolsets: Mapping[str, CatalogRecord]) -> ServerSpec:
    """Return a virtual server that names the tools of its toolsets itself.

    A toolset that is gone, or switched off, adds nothing.
    """
    if not server.toolsets:
        return server

    chosen = (toolsets.get(name) for name in server.toolsets)
    added = (
        name
        for record in chosen
        if record is not None and record.enabled and isinstance(record.spec, ToolsetSpec)
        for name in record.spec.tools
    )
    return replace(server, tools=tuple(dict.fromkeys((*server.tools, *added))))


def is_shown_by(server: ServerSpec, record: CatalogRecord) -> bool:
    """Tell whether a virtual server shows a record: by its name, or by its gateway.

    Of its toolsets only `with_toolsets` knows.
    """
    name, spec = record.name, record.spec

    match spec:
        case ToolSpec():
            return name in server.tools or spec.gateway in server.gateways
        case ModelSpec():
            return name in server.models
        case ResourceSpec() | ResourceTemplateSpec():
            return name in server.resources or spec.gateway in server.gateways
        case PromptSpec():
            return name in server.prompts or spec.gateway in server.gateways
        case _:
            return False
