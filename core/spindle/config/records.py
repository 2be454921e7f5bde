"""Makes catalog records of what the configuration declares, and names where their secrets are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from uuid import NAMESPACE_URL, uuid5

from spindle.config.catalog import (
    Declared,
    GatewayEntry,
    ModelEntry,
    ServerEntry,
    ServiceEntry,
    ToolEntry,
)
from spindle.config.document import Document
from spindle.config.faults import Path
from spindle.config.federation import federation_secrets
from spindle.config.gateway_auth import auth_of
from spindle.config.model_tools import model_tool_spec
from spindle.config.openapi import TRANSPORT
from spindle.config.programs import program_spec
from spindle.secrets import SecretSource
from spindle_spi.gateway_auth import GatewayAuth
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    ModelSpec,
    ProviderSpec,
    RecordSpec,
    ServerSpec,
    ToolsetSpec,
    Visibility,
)
from spindle_spi.secret import Secret, SecretRef

ORIGIN = "config"
TELEMETRY_HEADERS = SecretRef(name="telemetry/otlp_headers")
"""Headers for the collector of traces and measures."""
ADAPTERS = frozenset(
    {
        "anthropic",
        "azure_openai",
        "cortexso",
        "gpt4all",
        "jan",
        "litellm",
        "lm_studio",
        "localai",
        "mock",
        "ollama",
        "openai",
        "openai_compatible",
        "openrouter",
    }
)
"""Names of services that say by themselves which adapter they need."""
BUILTIN_SERVICE = "mock"
BUILTIN_GATEWAY = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOverride:
    """What somebody wants of one published record; None leaves what its source gives it."""

    visibility: Visibility | None = None
    team: str | None = None
    owner: str | None = None
    enabled: bool | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None

    def apply(self, record: CatalogRecord) -> CatalogRecord:
        """Return the record as the operator wants it."""
        return replace(
            record,
            visibility=record.visibility if self.visibility is None else self.visibility,
            team=record.team if self.team is None else self.team,
            owner=record.owner if self.owner is None else self.owner,
            enabled=record.enabled if self.enabled is None else self.enabled,
            description=record.description if self.description is None else self.description,
            tags=record.tags if self.tags is None else self.tags,
        )


def record_id(kind: Kind, name: str) -> str:
    """Return the id of a declared record: the same for the same kind and name, always."""
    return str(uuid5(NAMESPACE_URL, f"spindle:{kind.value}:{name}"))


def services_of(document: Document) -> dict[str, ServiceEntry]:
    """Return the declared providers, or the built-in one where there is no such section."""
    declared = document.llm.services
    return {BUILTIN_SERVICE: _builtin_service(document)} if declared is None else declared


def gateways_of(document: Document) -> dict[str, GatewayEntry]:
    """Return the declared gateways, or the built-in one where there is no such section."""
    declared = document.mcp.gateways
    return {BUILTIN_GATEWAY: _builtin_gateway(document)} if declared is None else declared


def provider_type_of(name: str, service: ServiceEntry) -> str:
    """Return the adapter of a service: as given, else what its name says, else `openai`."""
    return service.provider_type or (name if name in ADAPTERS else "openai")


def declared_records(
    document: Document, base_of: Callable[[Path], FilePath]
) -> tuple[CatalogRecord, ...]:
    """Return every record the configuration declares; a relative file starts where its key says."""
    return tuple(_records(document, base_of))


def tool_overrides(document: Document) -> dict[tuple[str, str], ToolOverride]:
    """Return what is wanted of single upstream tools, by gateway and upstream name."""
    return {
        (gateway, tool): _override(entry)
        for gateway, declared in gateways_of(document).items()
        for tool, entry in declared.tools.items()
    }


def secret_sources(
    document: Document, base_of: Callable[[Path], FilePath]
) -> dict[str, SecretSource]:
    """Return where each declared secret may be found; a relative file starts where its key says."""
    sources: dict[str, SecretSource] = {}

    for name, service in services_of(document).items():
        ref = _service_secret(name, service)

        if ref is not None:
            sources[ref.name] = SecretSource(
                env_var=service.api_key_env_var,
                file=_file(
                    base_of, ("llm", "services", name, "api_key_file"), service.api_key_file
                ),
                inline=None if service.api_key is None else Secret(service.api_key),
            )

    for name, gateway in gateways_of(document).items():
        ref = _gateway_secret(name, gateway)

        if ref is not None:
            sources[ref.name] = SecretSource(
                env_var=gateway.credential_env_var,
                file=_file(
                    base_of, ("mcp", "gateways", name, "credential_file"), gateway.credential_file
                ),
            )

        sources.update(_auth_sources(name, gateway, base_of))

        for variable, given in gateway.env.items():
            if given.env_var is not None or given.file is not None:
                path = ("mcp", "gateways", name, "env", variable, "file")
                sources[f"{_variable_secret(name)}{variable}"] = SecretSource(
                    env_var=given.env_var, file=_file(base_of, path, given.file)
                )

    if document.telemetry.otlp_headers_env_var is not None:
        sources[TELEMETRY_HEADERS.name] = SecretSource(
            env_var=document.telemetry.otlp_headers_env_var
        )

    sources.update(federation_secrets(document.auth, document.policy, base_of))
    return sources


def _file(base_of: Callable[[Path], FilePath], path: Path, name: str | None) -> FilePath | None:
    return None if name is None else base_of(path) / name


def _records(document: Document, base_of: Callable[[Path], FilePath]) -> Iterator[CatalogRecord]:
    for name, service in services_of(document).items():
        yield _record(Kind.PROVIDER, name, _provider_spec(name, service), service, module="llm")

        for model in service.models:
            qualified = f"{name}~{model.name}"
            inherited = _inherit(model, service)
            spec = _model_spec(name, model)
            yield _record(Kind.MODEL, qualified, spec, inherited, module="llm")

    for name, gateway in gateways_of(document).items():
        gateway_spec = _gateway_spec(name, gateway, base_of)
        yield _record(Kind.GATEWAY, name, gateway_spec, gateway, module="mcp")

    for name, tool in document.model_tools.items():
        asks = model_tool_spec(tool, unified_name(document, tool.model), tool.description)
        yield _record(Kind.TOOL, name, asks, tool, module="llm")

    for name, toolset in document.toolsets.items():
        selection = ToolsetSpec(tools=toolset.tools)
        yield _record(Kind.TOOLSET, name, selection, toolset, module="")

    for slug, server in document.servers.items():
        shown = _server_spec(document, slug, server)
        yield _record(Kind.SERVER, server.name or slug, shown, server, module="")


def _record(
    kind: Kind, name: str, spec: RecordSpec, entry: Declared, *, module: str
) -> CatalogRecord:
    return CatalogRecord(
        id=record_id(kind, name),
        kind=kind,
        name=name,
        spec=spec,
        module=module,
        description=entry.description,
        owner=entry.owner,
        team=entry.team,
        visibility=entry.visibility or Visibility.PUBLIC,
        enabled=entry.enabled,
        origin=ORIGIN,
    )


def _inherit(model: ModelEntry, service: ServiceEntry) -> ModelEntry:
    return model.model_copy(
        update={
            "visibility": model.visibility or service.visibility,
            "team": model.team or service.team,
            "owner": model.owner or service.owner,
            "enabled": model.enabled and service.enabled,
        }
    )


def _provider_spec(name: str, service: ServiceEntry) -> ProviderSpec:
    upstream = service.upstream
    return ProviderSpec(
        provider_type=provider_type_of(name, service),
        api_format=service.api_format,
        urls=service.urls,
        api_key=_service_secret(name, service),
        short_timeout=upstream.short_timeout_sec,
        long_timeout=upstream.long_timeout_sec,
        verify_cert=upstream.verify_cert,
        enable_discovery=upstream.enable_discovery,
        timeout=service.timeout,
        max_retries=service.max_retries,
        requests_per_minute=service.requests_per_minute,
        tokens_per_minute=service.tokens_per_minute,
        api_version=service.api_version,
        default_model=service.default_model,
        fallbacks=service.fallbacks,
        api_key_env_var=service.api_key_env_var,
        options=dict(service.options),
    )


def _model_spec(provider: str, model: ModelEntry) -> ModelSpec:
    return ModelSpec(
        provider=provider,
        upstream_name=model.name,
        aliases=model.aliases,
        model_type="embeddings" if model.supports == ("embedding",) else "llm",
        context_window=model.context_window,
        max_output_tokens=model.max_output_tokens,
        dimensions=model.dimensions,
        supports=model.supports,
        input_price=model.input_price,
        output_price=model.output_price,
        cache_read_price=model.cache_read_price,
        cache_write_price=model.cache_write_price,
        defaults=dict(model.defaults),
        fallbacks=model.fallbacks,
        fallback_on=model.fallback_on,
    )


def _gateway_spec(
    name: str, gateway: GatewayEntry, base_of: Callable[[Path], FilePath]
) -> GatewaySpec:
    options, file = dict(gateway.options), gateway.options.get("file")

    if gateway.transport == TRANSPORT and isinstance(file, str):
        base = base_of(("mcp", "gateways", name, "options", "file"))
        options["file"] = str((base / file).absolute())

    spec = GatewaySpec(
        transport=gateway.transport,
        url=gateway.url,
        era=gateway.era,
        credential=_gateway_secret(name, gateway),
        auth=gateway_auth(name, gateway),
        timeout=gateway.timeout,
        prefix=gateway.prefix,
        on_change=gateway.on_change,
        options=options,
    )
    return program_spec(spec, gateway, _variable_secret(name))


def _server_spec(document: Document, slug: str, server: ServerEntry) -> ServerSpec:
    return ServerSpec(
        slug=slug,
        gateways=server.gateways,
        tools=server.tools,
        toolsets=server.toolsets,
        models=tuple(unified_name(document, name) for name in server.models),
        resources=server.resources,
        prompts=server.prompts,
        mode=server.mode,
        prefix_free=server.prefix_free,
        anonymous=server.anonymous,
        anonymous_permissions=server.anonymous_permissions,
        instructions=server.instructions,
    )


def unified_name(document: Document, name: str) -> str:
    """Return the unified name of a model that may be named by a declared alias."""
    for provider, service in services_of(document).items():
        for model in service.models:
            if name in model.aliases:
                return f"{provider}~{model.name}"

    return name


def _override(entry: ToolEntry) -> ToolOverride:
    return ToolOverride(
        visibility=entry.visibility, team=entry.team, owner=entry.owner, enabled=entry.enabled
    )


def _service_secret(name: str, service: ServiceEntry) -> SecretRef | None:
    given = service.api_key_env_var or service.api_key_file or service.api_key
    return SecretRef(name=f"llm.services.{name}.api_key") if given else None


def _gateway_secret(name: str, gateway: GatewayEntry) -> SecretRef | None:
    given = gateway.credential_env_var or gateway.credential_file
    return SecretRef(name=f"mcp.gateways.{name}.credential") if given else None


def gateway_auth(name: str, gateway: GatewayEntry) -> GatewayAuth | None:
    """Return how a declared gateway proves itself; None for its credential alone, or nothing."""
    entry = gateway.auth

    if entry is None:
        return None

    refs = {
        path: _auth_ref(name, path)
        for path, variable, file in entry.places()
        if variable is not None or file is not None
    }
    headers = {str(path[1]): ref for path, ref in refs.items() if len(path) > 1}
    return auth_of(entry, headers, {str(p[0]): ref for p, ref in refs.items() if len(p) == 1})


def _auth_ref(name: str, path: Path) -> SecretRef:
    return SecretRef(name=".".join(("mcp.gateways", name, "auth", *map(str, path))))


def _auth_sources(
    name: str, gateway: GatewayEntry, base_of: Callable[[Path], FilePath]
) -> Iterator[tuple[str, SecretSource]]:
    for path, variable, file in () if gateway.auth is None else gateway.auth.places():
        if variable is None and file is None:
            continue

        key = path if len(path) == 1 else (*path, "file")
        where: Path = ("mcp", "gateways", name, "auth", *key)

        if len(path) == 1:
            where = (*where[:-1], f"{path[0]}_file")

        source = SecretSource(env_var=variable, file=_file(base_of, where, file))
        yield _auth_ref(name, path).name, source


def _variable_secret(name: str) -> str:
    return f"mcp.gateways.{name}.env."


def _builtin_visibility(document: Document) -> Visibility:
    # In production nobody meets what nobody asked for.
    return Visibility.PRIVATE if document.environment == "production" else Visibility.PUBLIC


def _builtin_service(document: Document) -> ServiceEntry:
    return ServiceEntry(
        description="Answers without any model, for trying things out.",
        visibility=_builtin_visibility(document),
    )


def _builtin_gateway(document: Document) -> GatewayEntry:
    return GatewayEntry(
        transport="builtin",
        description="Small tools that need no upstream, for trying things out.",
        visibility=_builtin_visibility(document),
    )
