"""The sections that declare catalog records: providers, gateways, servers, models as tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from spindle.config.gateway_auth import AuthEntry
from spindle.config.model_tools import AsksModel
from spindle.config.programs import GatewayKeys, StdioSettings
from spindle.config.sections import Count, Seconds, Section, Text, Url
from spindle_spi.records import Visibility

Price = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=1, le=2**31 - 1)]
POSITIVE_TOKENS: Mapping[str, str] = {
    "context_window": "POL-LLM-002",
    "max_output_tokens": "POL-LLM-002",
}
"""ModelHasPositiveMaxTokens."""
Capability = Literal["chat", "streaming", "function_calling", "vision", "embedding"]
Trigger = Literal["error", "rate_limit", "context_length"]
OnChange = Literal["allow", "warn", "hold"]
"""What becomes of a definition that its upstream changed."""
Mode = Literal["list", "search"]
"""How a virtual server offers its tools."""


class Owned(Section):
    """Who a record belongs to and who sees it."""

    visibility: Visibility | None = None
    """None means the default of its place: what it belongs to, else the environment's."""
    team: Text | None = None
    owner: Text | None = None


class Declared(Owned):
    """A record with the keys all of them have."""

    description: str = ""
    enabled: bool = True


class CatalogSettings(Section):
    """`catalog`: what holds for what upstreams publish."""

    on_change: OnChange | None = None
    """None is `hold` in production, else `warn`."""


class UpstreamSettings(Section):
    """`llm.services.<name>.upstream`."""

    short_timeout_sec: Seconds = 5.0
    long_timeout_sec: Seconds = 180.0
    verify_cert: bool = True
    enable_discovery: bool = False


class ModelEntry(Declared):
    """One of `llm.services.<name>.models`."""

    policies = POSITIVE_TOKENS
    name: Text
    """As the upstream calls it."""
    aliases: tuple[Text, ...] = ()
    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    dimensions: Tokens | None = None
    """Numbers in a vector of an embedding model."""
    supports: tuple[Capability, ...] = ("chat", "streaming")
    input_price: Price | None = None
    output_price: Price | None = None
    cache_read_price: Price | None = None
    """None is `input_price`, as below."""
    cache_write_price: Price | None = None
    defaults: dict[str, JsonValue] = {}
    fallbacks: tuple[Text, ...] = ()
    fallback_on: tuple[Trigger, ...] = ("error", "rate_limit")


class ServiceEntry(Declared):
    """`llm.services.<name>`: a model provider."""

    provider_type: Text | None = None
    api_format: Literal["openai"] = "openai"
    api_key_env_var: Text | None = None
    api_key_file: Text | None = None
    api_key: Text | None = Field(default=None, repr=False)
    urls: tuple[Url, ...] = ()
    upstream: UpstreamSettings = UpstreamSettings()
    timeout: Seconds | None = None
    """Seconds a completion may take altogether."""
    max_retries: Annotated[int, Field(ge=0, le=10)] = 0
    requests_per_minute: Count | None = None
    """What the provider takes from this gateway."""
    tokens_per_minute: Count | None = None
    api_version: Text | None = None
    default_model: Text | None = None
    fallbacks: tuple[Text, ...] = ()
    """Services whose model of the same name answers instead, in order."""
    models: tuple[ModelEntry, ...] = ()
    options: dict[str, JsonValue] = {}


class ToolEntry(Owned):
    """`mcp.gateways.<name>.tools.<upstream tool>`: what differs from the gateway."""

    enabled: bool | None = None


class GatewayEntry(Declared, GatewayKeys):
    """`mcp.gateways.<name>`: an upstream MCP server, or a REST API as one."""

    credential_env_var: Text | None = None
    credential_file: Text | None = None
    auth: AuthEntry | None = None
    timeout: Seconds = 60.0
    prefix: Text | None = None
    on_change: OnChange | None = None
    options: dict[str, JsonValue] = {}
    tools: dict[str, ToolEntry] = {}


class ServerEntry(Declared):
    """`servers.<slug>`: a virtual server."""

    name: Text | None = None
    gateways: tuple[Text, ...] = ()
    tools: tuple[Text, ...] = ()
    toolsets: tuple[Text, ...] = ()
    models: tuple[Text, ...] = ()
    resources: tuple[Text, ...] = ()
    prompts: tuple[Text, ...] = ()
    mode: Mode | None = None
    prefix_free: bool = False
    anonymous: bool = False
    anonymous_permissions: tuple[Text, ...] = ("tools.read", "tools.execute")
    instructions: Text | None = None


class ModelToolEntry(Declared, AsksModel):
    """`model_tools.<tool name>`: a model shown as a tool."""


class ToolsetEntry(Declared):
    """`toolsets.<name>`: a named selection of tools."""

    tools: tuple[Text, ...] = ()


class LlmSection(Section):
    """The core's part of `llm`; the other keys are the module's."""

    services: dict[str, ServiceEntry] | None = None


class McpSection(Section):
    """The core's part of `mcp`; the other keys are the module's."""

    gateways: dict[str, GatewayEntry] | None = None
    stdio: StdioSettings = StdioSettings()
