"""Names of the OpenTelemetry conventions in use, in one place: they still change.

GenAI: open-telemetry/semantic-conventions-genai, status Development, as of May 2026. What is
our own is under `gateway.`. Never a user, a key or free text: what is shown is what the catalog
names, so the number of series is bounded by the catalog.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

GENAI_VERSION: Final = "2026-05"
SCOPE: Final = "spindle"
OTHER: Final = "_OTHER"
"""Stands for what the catalog does not know."""

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_CHOICES: Final = "gen_ai.request.choice.count"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
DIMENSIONS: Final = "gen_ai.embeddings.dimension.count"
TOKEN_TYPE: Final = "gen_ai.token.type"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
MCP_METHOD: Final = "mcp.method.name"
MCP_RESOURCE: Final = "mcp.resource.uri"
PROMPT_NAME: Final = "gen_ai.prompt.name"
NETWORK_TRANSPORT: Final = "network.transport"
ERROR_TYPE: Final = "error.type"
EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

GATEWAY_REQUEST: Final = "gateway.request.id"
GATEWAY_MODULE: Final = "gateway.module"
GATEWAY_ATTEMPT: Final = "gateway.attempt"
GATEWAY_WAITED: Final = "gateway.attempt.waited_ms"
GATEWAY_FALLBACK: Final = "gateway.fallback.from"
GATEWAY_ROUTE: Final = "gateway.route.id"
GATEWAY_DECISION: Final = "gateway.policy.decision"
GATEWAY_CACHE: Final = "gateway.cache.hit"
GATEWAY_COST: Final = "gateway.cost.usd"
GATEWAY_STATUS: Final = "gateway.call.status"
GATEWAY_BYTES: Final = "gateway.response.bytes"

OPERATION_SECONDS: Final = "gen_ai_client_operation_duration_seconds"
TOKEN_USAGE: Final = "gen_ai_client_token_usage"
FIRST_CHUNK_SECONDS: Final = "gen_ai_client_operation_time_to_first_chunk_seconds"
REQUEST_SECONDS: Final = "gen_ai_server_request_duration_seconds"
FIRST_TOKEN_SECONDS: Final = "gen_ai_server_time_to_first_token_seconds"
OUTPUT_TOKEN_SECONDS: Final = "gen_ai_server_time_per_output_token_seconds"
MCP_SECONDS: Final = "mcp_client_operation_duration_seconds"
SERVER_SECONDS: Final = "spindle_http_request_seconds"

_PROVIDERS: Final = {"azure_openai": "azure.ai.openai", "cortexso": "cortex"}


def provider_of(provider_type: str) -> str:
    """Return what the conventions call the provider that a type of ours speaks to."""
    return _PROVIDERS.get(provider_type, provider_type)


_OPERATION = tuple(0.01 * 2**power for power in range(14))
_TOKENS = tuple(float(4**power) for power in range(14))
_FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
_OUTPUT_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_MCP = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)

BOUNDS: Final[dict[str, tuple[float, ...]]] = {
    OPERATION_SECONDS: _OPERATION,
    FIRST_CHUNK_SECONDS: _OPERATION,
    TOKEN_USAGE: _TOKENS,
    REQUEST_SECONDS: _OPERATION,
    FIRST_TOKEN_SECONDS: _FIRST_TOKEN,
    OUTPUT_TOKEN_SECONDS: _OUTPUT_TOKEN,
    MCP_SECONDS: _MCP,
}
"""Bucket bounds that the conventions fix, by the name of the measure."""


@dataclass(frozen=True, slots=True)
class Convention:
    """How a measure is called over OTLP."""

    name: str
    unit: str
    labels: dict[str, str]
    """The convention's attribute for each label of ours."""


_CALL = {
    "operation": OPERATION_NAME,
    "provider": PROVIDER_NAME,
    "model": REQUEST_MODEL,
    "served_by": RESPONSE_MODEL,
    "error": ERROR_TYPE,
    "type": TOKEN_TYPE,
}

CONVENTIONS: Final[dict[str, Convention]] = {
    OPERATION_SECONDS: Convention("gen_ai.client.operation.duration", "s", _CALL),
    FIRST_CHUNK_SECONDS: Convention("gen_ai.client.operation.time_to_first_chunk", "s", _CALL),
    TOKEN_USAGE: Convention("gen_ai.client.token.usage", "{token}", _CALL),
    REQUEST_SECONDS: Convention("gen_ai.server.request.duration", "s", _CALL),
    FIRST_TOKEN_SECONDS: Convention("gen_ai.server.time_to_first_token", "s", _CALL),
    OUTPUT_TOKEN_SECONDS: Convention("gen_ai.server.time_per_output_token", "s", _CALL),
    MCP_SECONDS: Convention(
        "mcp.client.operation.duration", "s", {"method": MCP_METHOD, "error": ERROR_TYPE}
    ),
    SERVER_SECONDS: Convention(
        "http.server.request.duration",
        "s",
        {"route": HTTP_ROUTE, "method": HTTP_METHOD, "status": HTTP_STATUS},
    ),
}
