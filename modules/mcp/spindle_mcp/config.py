"""The module's own section of the configuration: its JSON Schema, and the settings it becomes."""

from __future__ import annotations

from dataclasses import dataclass

from spindle_spi.types import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class McpSettings:
    """The `mcp:` section, without the gateways, which are records of the catalog."""

    accelerated: bool = True
    """Answer plain `tools/call` and `tools/list` requests without the SDK's machinery."""
    connect_seconds: float = 10.0
    """How long connecting to an upstream, negotiation included, may take."""
    refresh_seconds: float = 300.0
    """How often an upstream's tools are read again, beside its own notifications."""
    reconnect_max_seconds: float = 30.0
    """Longest pause between two attempts to reach an upstream."""
    list_ttl_seconds: float = 5.0
    """How long a client may take a list of tools for fresh."""
    max_sessions: int = 10_000
    """Open sessions of clients that speak the protocol before 2026."""
    session_idle_seconds: float = 1800.0
    max_connections: int = 100
    """Connections per upstream."""
    max_result_bytes: int = 16 * 1024 * 1024
    """Longest answer taken from an upstream."""
    max_tools: int = 1000
    """Most tools taken from one upstream."""
    root_metadata: bool = True
    """Tell of `/mcp` at the root of the well-known path, too, for clients that look nowhere else.
    """


_SECONDS: JsonObject = {"type": "number", "exclusiveMinimum": 0}
_COUNT: JsonObject = {"type": "integer", "minimum": 1}

SCHEMA: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "accelerated": {"type": "boolean"},
        "connect_seconds": _SECONDS,
        "refresh_seconds": _SECONDS,
        "reconnect_max_seconds": _SECONDS,
        "list_ttl_seconds": {"type": "number", "minimum": 0},
        "max_sessions": _COUNT,
        "session_idle_seconds": _SECONDS,
        "max_connections": _COUNT,
        "max_result_bytes": _COUNT,
        "max_tools": _COUNT,
        "root_metadata": {"type": "boolean"},
    },
}
"""What the section may hold; a test compares its keys with the fields of `McpSettings`."""


def settings_from(section: JsonObject) -> McpSettings:
    """Return the settings of a section the core has validated against `SCHEMA`."""
    defaults = McpSettings()

    def seconds(name: str, default: float) -> float:
        value = section.get(name)
        return float(value) if isinstance(value, int | float) else default

    def count(name: str, default: int) -> int:
        value = section.get(name)
        return value if isinstance(value, int) else default

    return McpSettings(
        accelerated=section.get("accelerated") is not False,
        connect_seconds=seconds("connect_seconds", defaults.connect_seconds),
        refresh_seconds=seconds("refresh_seconds", defaults.refresh_seconds),
        reconnect_max_seconds=seconds("reconnect_max_seconds", defaults.reconnect_max_seconds),
        list_ttl_seconds=seconds("list_ttl_seconds", defaults.list_ttl_seconds),
        max_sessions=count("max_sessions", defaults.max_sessions),
        session_idle_seconds=seconds("session_idle_seconds", defaults.session_idle_seconds),
        max_connections=count("max_connections", defaults.max_connections),
        max_result_bytes=count("max_result_bytes", defaults.max_result_bytes),
        max_tools=count("max_tools", defaults.max_tools),
        root_metadata=section.get("root_metadata") is not False,
    )


def option(options: dict[str, Json], name: str) -> str | None:
    """Return a textual option of a gateway, if it is there."""
    value = options.get(name)
    return value if isinstance(value, str) else None
