"""What is said of services, their models, and the health of providers."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.routing.breaker import BreakerState
from spindle_llm.routing.health import RateLimitStatus
from spindle_spi.operation import OperationDoc, json_response

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_TEXT: Final[JsonObject] = {"type": "string"}
_MAYBE_TEXT: Final[JsonObject] = {"type": ["string", "null"]}
_WHOLE: Final[JsonObject] = {"type": "integer"}
_MAYBE_WHOLE: Final[JsonObject] = {"type": ["integer", "null"]}
_MAYBE_NUMBER: Final[JsonObject] = {"type": ["number", "null"]}
_FLAG: Final[JsonObject] = {"type": "boolean"}
_LIMITED: Final[JsonObject] = {"enum": [state.value for state in RateLimitStatus]}


def _record(title: str, /, **properties: JsonObject) -> JsonObject:
    required: list[Json] = [*properties]
    return {
        "title": title,
        "type": "object",
        "properties": {**properties},
        "required": required,
    }


def _list_of(schema: JsonObject) -> JsonObject:
    return {"type": "array", "items": schema}


_CAPABILITIES: Final = _record(
    "ServiceCapabilities", **{field.name: _FLAG for field in fields(ServiceCapabilities)}
)
_SERVICE: Final = _record(
    "Service",
    id=_TEXT,
    name=_TEXT,
    provider_type=_TEXT,
    title=_TEXT,
    description=_TEXT,
    is_local=_FLAG,
    is_available=_FLAG,
    models=_WHOLE,
    capabilities=_CAPABILITIES,
)
_MODEL: Final = _record(
    "ServiceModel",
    name=_TEXT,
    upstream_model_name=_TEXT,
    type=_TEXT,
    state=_TEXT,
    description=_TEXT,
    publisher=_MAYBE_TEXT,
    modified_at=_MAYBE_WHOLE,
    architecture=_MAYBE_TEXT,
    quantization=_MAYBE_TEXT,
    max_tokens=_MAYBE_WHOLE,
    max_output_tokens=_MAYBE_WHOLE,
    dimensions=_MAYBE_WHOLE,
    size=_MAYBE_WHOLE,
    parameters=_MAYBE_WHOLE,
    streaming=_FLAG,
    instructed=_FLAG,
    coding=_FLAG,
    tooling=_FLAG,
    is_mlx=_FLAG,
    is_gguf=_FLAG,
    feature_flags=_list_of(_TEXT),
    service=_TEXT,
    runtime_name=_MAYBE_TEXT,
    file_path=_MAYBE_TEXT,
    is_available=_FLAG,
)
_HEALTH: Final = _record(
    "ProviderHealth",
    name=_TEXT,
    provider_type=_TEXT,
    provider_id=_TEXT,
    is_healthy=_FLAG,
    score={"type": "number"},
    calls=_WHOLE,
    error_count=_WHOLE,
    average_latency=_MAYBE_NUMBER,
    last_error=_MAYBE_TEXT,
    last_success_timestamp=_MAYBE_NUMBER,
    rate_limit_status=_LIMITED,
    breaker={"enum": [state.value for state in BreakerState]},
    chain=_list_of(_record("HealthLink", provider_id=_TEXT, provider=_TEXT, is_healthy=_FLAG)),
)
_TOGETHER: Final = _record(
    "ProvidersHealth",
    is_healthy=_FLAG,
    healthy=_WHOLE,
    total=_WHOLE,
    score={"type": "number"},
    error_count=_WHOLE,
    average_latency=_MAYBE_NUMBER,
    rate_limit_status=_LIMITED,
    providers=_list_of(_HEALTH),
)
_PING: Final = _record(
    "ServicePing",
    service=_TEXT,
    is_available=_FLAG,
    average_latency=_MAYBE_NUMBER,
    last_error=_MAYBE_TEXT,
    rate_limit_status=_LIMITED,
)


def list_services() -> OperationDoc:
    """Return what is said of `GET /llm/services`."""
    return _read(
        "List the services one may know of", _record("Services", services=_list_of(_SERVICE))
    )


def get_service() -> OperationDoc:
    """Return what is said of `GET /llm/services/{service}`."""
    return _read("Show a service, by name or id", _SERVICE)


def list_models() -> OperationDoc:
    """Return what is said of `GET /llm/services/{service}/models`."""
    listed = _record("ServiceModels", service=_TEXT, models=_list_of(_MODEL))
    return _read("List the models of a service", listed)


def get_model() -> OperationDoc:
    """Return what is said of `GET /llm/services/{service}/models/{model}`."""
    return _read("Show a model of a service, by the service's name for it or by ours", _MODEL)


def ping() -> OperationDoc:
    """Return what is said of `GET /llm/services/{service}/ping`."""
    return _read("Ask a service whether it is there", _PING)


def capabilities() -> OperationDoc:
    """Return what is said of `GET /llm/services/{service}/capabilities`."""
    return _read(
        "Show what a service can do",
        _record("CapabilitiesOfService", service=_TEXT, capabilities=_CAPABILITIES),
    )


def all_health() -> OperationDoc:
    """Return what is said of `GET /llm/providers/health`."""
    return _read("Show how the providers are, together and each", _TOGETHER)


def health() -> OperationDoc:
    """Return what is said of `GET /llm/providers/{id}/health`."""
    return _read("Show how a provider is, as the last calls left it", _HEALTH)


def probe() -> OperationDoc:
    """Return what is said of `POST /llm/providers/{id}/health`."""
    return _read("Ask a provider now how it is", _HEALTH)


def _read(summary: str, schema: JsonObject) -> OperationDoc:
    return OperationDoc(
        summary=summary, responses={"200": json_response("What was asked for.", schema)}
    )
