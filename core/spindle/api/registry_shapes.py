"""Providers and models in the words of the registry, and from those into the catalog's own.

Several vocabularies meet in one answer; `docs/reference/catalog.md` says field by field what is
stored, what follows from it, and who wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, JsonValue

from spindle.api.request import Body
from spindle.catalog.bodies import NAMED_PROVIDER, FactsBody
from spindle.catalog.shown import author_shown
from spindle.config.catalog import Trigger
from spindle.store.catalog import Authorship
from spindle_spi.records import CatalogRecord, ModelSpec, ProviderSpec, Visibility, secret_of

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_CAPABILITIES = ("chat", "streaming", "function_calling", "vision", "embedding")
_CONFIG = {
    "timeout": "timeout",
    "inactivity_timeout": "long_timeout",
    "connect_timeout": "short_timeout",
    "max_retries": "max_retries",
    "rpm": "requests_per_minute",
    "tpm": "tokens_per_minute",
    "verify_cert": "verify_cert",
    "enable_discovery": "enable_discovery",
    "options": "options",
}
"""Keys of `config`, and what the catalog calls them."""
_SAME_OF_PROVIDERS = ("provider_type", "api_version", "api_key", "default_model", "fallbacks")
_DEFAULTS = {"default_temperature": "temperature", "default_max_tokens": "max_tokens"}
_GOVERNED = ("description", "owner", "team", "visibility", "enabled", "tags")

Number = Annotated[float, Field(allow_inf_nan=False)]


class Governed(Body):
    """What providers and models have in common. In a change, a null is the default."""

    description: str | None = None
    owner: str | None = None
    team: str | None = None
    visibility: Visibility | None = None
    enabled: bool | None = None
    tags: tuple[str, ...] | None = None


class ProviderConfig(Body):
    """`config` of a provider: how it is asked."""

    timeout: Number | None = None
    inactivity_timeout: Number | None = None
    connect_timeout: Number | None = None
    max_retries: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    verify_cert: bool | None = None
    enable_discovery: bool | None = None
    options: dict[str, JsonValue] | None = None


class ProviderChanges(Governed):
    """`PATCH /llm/providers/{id}`."""

    provider_type: str | None = None
    api_base: str | None = None
    api_bases: tuple[str, ...] | None = None
    api_version: str | None = None
    api_key: str | None = Field(default=None, repr=False)
    config: ProviderConfig | None = None
    default_model: str | None = None
    default_temperature: Number | None = None
    default_max_tokens: Annotated[int, Field(ge=1)] | None = None
    fallbacks: tuple[str, ...] | None = None


class NewProvider(ProviderChanges):
    """`POST /llm/providers`."""

    policies = NAMED_PROVIDER
    name: str


class ModelChanges(Governed):
    """`PATCH /llm/models/{id}`."""

    model_alias: str | None = None
    aliases: tuple[str, ...] | None = None
    type: Literal["llm", "vlm", "embeddings", "vision", "unknown"] | None = None
    supports_chat: bool | None = None
    supports_streaming: bool | None = None
    supports_function_calling: bool | None = None
    supports_vision: bool | None = None
    supports_embedding: bool | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    dimensions: int | None = None
    input_price: Number | None = None
    output_price: Number | None = None
    cache_read_price: Number | None = None
    cache_write_price: Number | None = None
    fallbacks: tuple[str, ...] | None = None
    fallback_on: tuple[Trigger, ...] | None = None
    deprecated: bool | None = None
    facts: FactsBody | None = None


class NewModel(ModelChanges):
    """`POST /llm/models`."""

    provider_id: str
    """Id or name of its provider."""
    model_id: str
    """As the upstream calls it."""


def provider_data(body: ProviderChanges) -> JsonObject:
    """Return what a body gives, in the catalog's words; what it leaves out is left out."""
    given = _given(body)
    data: JsonObject = {
        key: given[key] for key in ("name", *_GOVERNED, *_SAME_OF_PROVIDERS) if key in given
    }

    if "api_base" in given:
        data["urls"] = None if body.api_base is None else [body.api_base]

    if "api_bases" in given:
        data["urls"] = given["api_bases"]

    config = given.get("config")

    if isinstance(config, dict):
        data |= {_CONFIG[key]: value for key, value in config.items()}

    defaults: JsonObject = {_DEFAULTS[key]: given[key] for key in _DEFAULTS if key in given}

    if defaults:
        data["defaults"] = defaults

    return data


def model_data(body: ModelChanges, before: ModelSpec | None = None) -> JsonObject:
    """Return what a body gives, in the catalog's words; `before` says what it could until now."""
    given = _given(body)
    chain = ("fallbacks", "fallback_on")
    prices = ("input_price", "output_price", "cache_read_price", "cache_write_price")
    same = ("context_window", "max_output_tokens", "dimensions", *prices)
    data: JsonObject = {
        key: given[key]
        for key in (*_GOVERNED, *same, "aliases", *chain, "deprecated", "facts")
        if key in given
    }

    if "type" in given:
        data["model_type"] = given["type"]

    if "model_alias" in given:
        data["aliases"] = None if body.model_alias is None else [body.model_alias]

    if says_supports(body):
        had = (before or ModelSpec(provider="", upstream_name="")).supports
        said: dict[str, Json] = {word: given.get(f"supports_{word}") for word in _CAPABILITIES}
        able: list[Json] = [
            word for word in _CAPABILITIES if said[word] or (said[word] is None and word in had)
        ]
        data["supports"] = able

    return data


def says_supports(body: ModelChanges) -> bool:
    """Tell whether a body switches single capabilities, which is relative to what they were."""
    return any(f"supports_{word}" in body.model_fields_set for word in _CAPABILITIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What is known of a record beside itself."""

    epoch: int
    author: Authorship
    plugins: tuple[str, ...] | None
    """Who may judge its calls; None when the caller may not know of plugins."""


def provider_shown(record: CatalogRecord, beside: Beside, *, whole: bool) -> JsonObject:
    """Return a provider as the registry shows it; `whole` with its options."""
    spec = record.spec
    assert isinstance(spec, ProviderSpec)
    ref = secret_of(spec)
    urls: list[Json] = [*spec.urls]
    fallbacks: list[Json] = [*spec.fallbacks]
    config: JsonObject = {
        "timeout": spec.timeout,
        "inactivity_timeout": spec.long_timeout,
        "connect_timeout": spec.short_timeout,
        "max_retries": spec.max_retries,
        "rpm": spec.requests_per_minute,
        "tpm": spec.tokens_per_minute,
        "verify_cert": spec.verify_cert,
        "enable_discovery": spec.enable_discovery,
    }

    if whole:
        config["options"] = spec.options

    return {
        "id": record.id,
        "name": record.name,
        "slug": record.name,
        "provider_type": spec.provider_type,
        "endpoint": spec.urls[0] if spec.urls else None,
        "api_base": spec.urls[0] if spec.urls else None,
        "api_bases": urls,
        "api_version": spec.api_version,
        "api_key_set": ref is not None,
        "api_key_ref": None if ref is None else ref.name,
        "config": config,
        "default_model": spec.default_model,
        "default_temperature": spec.defaults.get("temperature"),
        "default_max_tokens": spec.defaults.get("max_tokens"),
        "fallbacks": fallbacks,
        "is_active": record.enabled,
        # Nobody keeps them yet.
        "health_status": None,
        "last_health_check": None,
        **_governance_shown(record, beside),
    }


def model_shown(
    record: CatalogRecord, provider: CatalogRecord | None, beside: Beside, *, is_available: bool
) -> JsonObject:
    """Return a model as the registry shows it; `provider` is None when the caller sees none."""
    spec = record.spec
    assert isinstance(spec, ModelSpec)
    facts = spec.facts
    able = {f"supports_{word}": word in spec.supports for word in _CAPABILITIES}
    aliases: list[Json] = [*spec.aliases]
    supports: list[Json] = [*spec.supports]
    fallbacks: list[Json] = [*spec.fallbacks]
    triggers: list[Json] = [*spec.fallback_on]
    return {
        "id": record.id,
        "name": record.name,
        "model_name": record.name,
        "model_id": spec.upstream_name,
        "model_alias": spec.aliases[0] if spec.aliases else None,
        "aliases": aliases,
        "provider": spec.provider,
        "provider_id": None if provider is None else provider.id,
        "provider_type": None if provider is None else _type_of(provider),
        "type": spec.model_type,
        **able,
        "feature_flags": supports,
        "context_window": spec.context_window,
        "max_tokens": spec.max_output_tokens,
        "max_output_tokens": spec.max_output_tokens,
        "dimensions": spec.dimensions,
        "cost_metrics": {
            "input": spec.input_price,
            "output": spec.output_price,
            "cache_read": spec.cache_read_price,
            "cache_write": spec.cache_write_price,
        },
        "fallbacks": fallbacks,
        "fallback_on": triggers,
        "deprecated": spec.deprecated,
        "is_available": is_available,
        "state": spec.state,
        "publisher": facts.publisher,
        "architecture": facts.architecture,
        "quantization": facts.quantization,
        "size": facts.size,
        "parameters": facts.parameters,
        "runtime_name": facts.runtime,
        "file_path": facts.file_path,
        "modified_at": facts.modified_at,
        "streaming": "streaming" in spec.supports,
        "instructed": facts.instructed,
        "coding": facts.coding,
        "tooling": "function_calling" in spec.supports,
        "is_mlx": facts.is_mlx,
        "is_gguf": facts.is_gguf,
        **_governance_shown(record, beside),
    }


def _governance_shown(record: CatalogRecord, beside: Beside) -> JsonObject:
    tags: list[Json] = [*record.tags]
    plugins: list[Json] | None = None if beside.plugins is None else [*beside.plugins]
    return {
        "description": record.description,
        "owner": record.owner,
        "team": record.team,
        "visibility": record.visibility.value,
        "enabled": record.enabled,
        "origin": record.origin,
        "tags": tags,
        "epoch": beside.epoch,
        "plugin_ids": plugins,
        **author_shown(beside.author),
    }


def _type_of(provider: CatalogRecord) -> str | None:
    return provider.spec.provider_type if isinstance(provider.spec, ProviderSpec) else None


def _given(body: Body) -> JsonObject:
    data: JsonObject = body.model_dump(mode="json", exclude_unset=True)
    return data
