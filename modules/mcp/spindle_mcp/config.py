"""The module's own section of the configuration: its JSON Schema, and the settings it becomes."""

from __future__ import annotations

from dataclasses import dataclass

from spindle_mcp.naming import MAX_LENGTH, MIN_LENGTH
from spindle_spi.types import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class McpSettings:
    """The `mcp:` section, without the gateways, which are records of the catalog."""

    accelerated: bool = True
    """Answer plain calls, reads, prompts and lists without the SDK's machinery."""
    legacy_sse: bool = False
    """Serve the transport of 2024-11-05 as well: `/sse` and `/sse/messages`."""
    resumable: bool = False
    """Keep what sessions are told, for clients that lost a stream: every message is written."""
    connect_seconds: float = 10.0
    """How long connecting to an upstream, negotiation included, may take."""
    refresh_seconds: float = 300.0
    """How often an upstream's lists are read again, beside its own notifications."""
    reconnect_max_seconds: float = 30.0
    """Longest pause between two attempts to reach an upstream."""
    list_ttl_seconds: float = 5.0
    """How long a client may take a list for fresh."""
    max_sessions: int = 10_000
    """Open sessions of clients that speak the protocol before 2026."""
    session_idle_seconds: float = 1800.0
    max_connections: int = 100
    """Requests to one upstream at once, and connections to it."""
    max_queued: int = 100
    """Requests to one upstream that wait for their turn; more are refused as busy."""
    breaker_failures: int = 5
    """Failures in a row after which calls to an upstream are refused for a while."""
    start_seconds: float = 30.0
    """How long a program may take to answer its first question."""
    healthy_seconds: float = 30.0
    """How long a connection has to last for the pauses between attempts to be short again."""
    max_result_bytes: int = 16 * 1024 * 1024
    """Longest answer taken from an upstream."""
    max_own_sessions: int = 256
    """Sessions per upstream of the protocol before 2026 that belong to one client each."""
    own_session_idle_seconds: float = 300.0
    input_seconds: float = 600.0
    """How long a client may take to answer what an upstream asks during a call."""
    max_parked_calls: int = 1000
    """Calls that wait for such an answer between two requests of a client."""
    max_tools: int = 10_000
    """Most tools taken from one upstream."""
    root_metadata: bool = True
    """Tell of `/mcp` at the root of the well-known path, too, for clients that look nowhere else.
    """
    max_resources: int = 1000
    """Most resources, and most templates of them, taken from one upstream."""
    max_prompts: int = 1000
    """Most prompts taken from one upstream."""
    search_above: int | None = None
    """Beyond so many tools an endpoint offers a search in place of its list; None never does."""
    search_model: str | None = None
    """Model of embeddings by which tools are also found; None finds by words alone."""
    name_length: int = MAX_LENGTH
    """Longest name of a tool; lower where clients put words of their own before it."""


_SECONDS: JsonObject = {"type": "number", "exclusiveMinimum": 0}
_COUNT: JsonObject = {"type": "integer", "minimum": 1}

SCHEMA: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "accelerated": {"type": "boolean"},
        "legacy_sse": {"type": "boolean"},
        "resumable": {"type": "boolean"},
        "connect_seconds": _SECONDS,
        "refresh_seconds": _SECONDS,
        "reconnect_max_seconds": _SECONDS,
        "list_ttl_seconds": {"type": "number", "minimum": 0},
        "max_sessions": _COUNT,
        "session_idle_seconds": _SECONDS,
        "max_connections": _COUNT,
        "max_queued": {"type": "integer", "minimum": 0},
        "breaker_failures": _COUNT,
        "start_seconds": _SECONDS,
        "healthy_seconds": _SECONDS,
        "max_result_bytes": _COUNT,
        "max_own_sessions": _COUNT,
        "own_session_idle_seconds": _SECONDS,
        "input_seconds": _SECONDS,
        "max_parked_calls": _COUNT,
        "max_tools": _COUNT,
        "root_metadata": {"type": "boolean"},
        "max_resources": _COUNT,
        "max_prompts": _COUNT,
        "search_above": _COUNT,
        "search_model": {"type": "string", "minLength": 1},
        "name_length": {"type": "integer", "minimum": MIN_LENGTH, "maximum": MAX_LENGTH},
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

    search_above, search_model = section.get("search_above"), section.get("search_model")
    return McpSettings(
        accelerated=section.get("accelerated") is not False,
        legacy_sse=section.get("legacy_sse") is True,
        resumable=section.get("resumable") is True,
        connect_seconds=seconds("connect_seconds", defaults.connect_seconds),
        refresh_seconds=seconds("refresh_seconds", defaults.refresh_seconds),
        reconnect_max_seconds=seconds("reconnect_max_seconds", defaults.reconnect_max_seconds),
        list_ttl_seconds=seconds("list_ttl_seconds", defaults.list_ttl_seconds),
        max_sessions=count("max_sessions", defaults.max_sessions),
        session_idle_seconds=seconds("session_idle_seconds", defaults.session_idle_seconds),
        max_connections=count("max_connections", defaults.max_connections),
        max_queued=count("max_queued", defaults.max_queued),
        breaker_failures=count("breaker_failures", defaults.breaker_failures),
        start_seconds=seconds("start_seconds", defaults.start_seconds),
        healthy_seconds=seconds("healthy_seconds", defaults.healthy_seconds),
        max_result_bytes=count("max_result_bytes", defaults.max_result_bytes),
        max_own_sessions=count("max_own_sessions", defaults.max_own_sessions),
        own_session_idle_seconds=seconds(
            "own_session_idle_seconds", defaults.own_session_idle_seconds
        ),
        input_seconds=seconds("input_seconds", defaults.input_seconds),
        max_parked_calls=count("max_parked_calls", defaults.max_parked_calls),
        max_tools=count("max_tools", defaults.max_tools),
        root_metadata=section.get("root_metadata") is not False,
        max_resources=count("max_resources", defaults.max_resources),
        max_prompts=count("max_prompts", defaults.max_prompts),
        search_above=search_above if isinstance(search_above, int) else None,
        search_model=search_model if isinstance(search_model, str) else None,
        name_length=count("name_length", defaults.name_length),
    )


def option(options: dict[str, Json], name: str) -> str | None:
    """Return a textual option of a gateway, if it is there."""
    value = options.get(name)
    return value if isinstance(value, str) else None
