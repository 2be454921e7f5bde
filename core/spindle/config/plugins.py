"""The section `plugins`, as pydantic models. The store keeps entries in the same form."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from spindle.config.sections import Seconds, Section, Text
from spindle_spi.plugin import HookPhase, PluginMode

MAX_BUDGET_SECONDS = 120.0

Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Patterns = Annotated[tuple[Pattern, ...], Field(max_length=100)]
JudgedKind = Literal["model", "tool", "agent", "resource", "resource_template", "prompt"]
OnError = Literal["deny", "allow"]
Host = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[^/\s]+$")]


class PluginConditions(Section):
    """`conditions` of an entry: lists of shell-style patterns. An empty list asks for nothing."""

    teams: Patterns = ()
    servers: Patterns = ()
    tools: Patterns = ()
    models: Patterns = ()
    kinds: tuple[JudgedKind, ...] = ()


class PluginEntry(Section):
    """One of `plugins.entries`."""

    plugin: Text
    name: Text = Field(default_factory=lambda data: str(data.get("plugin", "")))
    mode: PluginMode = PluginMode.ENFORCE
    priority: int = 100
    phases: tuple[HookPhase, ...] | None = None
    """None means the phases the plugin itself names."""
    conditions: PluginConditions = PluginConditions()
    budget_seconds: Annotated[Seconds, Field(le=MAX_BUDGET_SECONDS)] | None = None
    """None means the usual budget; only for plugins that wait."""
    on_error: OnError = "deny"
    config: dict[str, JsonValue] = {}


class PluginSettings(Section):
    """`plugins`: content policy."""

    unhandled: Literal["allow", "deny"] = "allow"
    """Set by the environment when the file does not: `deny` in production."""
    allow_fail_open: bool = True
    """Set by the environment when the file does not: false in production."""
    allowed_hosts: tuple[Host, ...] = ()
    """Hosts that plugins may reach at private addresses."""
    entries: tuple[PluginEntry, ...] = ()
