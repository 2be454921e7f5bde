"""What a module says of itself before it may start."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class PluginParity(StrEnum):
    """How a flow keeps plugin policy."""

    FULL = "full"
    """The module lifts, runs the hooks and writes back."""
    DELEGATE = "delegate"
    """The flow goes through `CatalogService.invoke`."""
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackStrategy:
    """What the host may do when the module cannot keep correctness."""

    supports_rollback: bool = False
    fallback_path: str | None = None


CAPABILITIES: frozenset[str] = frozenset(
    {
        "ingress",
        "transport",
        "request_streaming",
        "response_streaming",
        "session_state",
        "task_state",
        "replay",
        "subscriptions",
        "prompt_rendering",
        "resource_reads",
        "tool_invocation",
        "agent_invocation",
        "provider_relay",
        "plugin_parity",
    }
)
"""The capability taxonomy; a missing surface is declared False, not left out silently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleDescriptor:
    """Honest and sufficient for the core to decide whether the module may start here."""

    module_id: str
    protocol_family: str
    """mcp, llm, a2a, rest-grpc, …"""
    module_version: str
    implementation_language: str = "python"
    spi_versions: tuple[str, ...] = ("1.0",)
    runtime_modes: tuple[str, ...] = ("embedded",)
    """Of: embedded, sidecar."""
    ingress_modes: tuple[str, ...] = ("core-routed",)
    """Of: core-routed, direct."""
    capabilities: dict[str, bool] = field(default_factory=dict[str, bool])
    health: str = "in-process"
    """How liveness and readiness are asked."""
    stats: str = "in-process"
    plugin_parity: dict[str, PluginParity] = field(default_factory=dict[str, PluginParity])
    """Per flow."""
    fallback_strategy: FallbackStrategy = FallbackStrategy()
    config_section: str | None = None
    """Name of its section in the configuration; its id when None."""
    serves: tuple[str, ...] = ()
    """Kinds of records it serves when called across protocols."""
