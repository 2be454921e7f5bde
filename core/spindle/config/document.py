"""The whole configuration as one model, and its defaults when a part is not given."""

from __future__ import annotations

from typing import Literal

from spindle.config.audit import AuditSettings
from spindle.config.auth import AuthSettings
from spindle.config.budgets import BudgetSettings
from spindle.config.catalog import LlmSection, McpSection, ModelToolEntry, ServerEntry, ToolsetEntry
from spindle.config.egress import EgressSettings
from spindle.config.events import EventSettings
from spindle.config.limits import LimitSettings
from spindle.config.plugins import PluginSettings
from spindle.config.policy import PolicySettings
from spindle.config.retention import RetentionSettings
from spindle.config.secrets import SecretSettings
from spindle.config.sections import (
    LoggingSettings,
    ModuleSettings,
    Section,
    ServerSettings,
    SpiSettings,
    StoreSettings,
    UsageSettings,
)
from spindle.config.telemetry import TelemetrySettings

Environment = Literal["development", "production"]


class Document(Section):
    """Every key the core knows. Sections of other modules stand beside it."""

    environment: Environment = "development"
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    usage: UsageSettings = UsageSettings()
    limits: LimitSettings = LimitSettings()
    budgets: BudgetSettings = BudgetSettings()
    events: EventSettings = EventSettings()
    spi: SpiSettings = SpiSettings()
    features: dict[str, bool] = {}
    modules: ModuleSettings = ModuleSettings()
    logging: LoggingSettings = LoggingSettings()
    plugins: PluginSettings = PluginSettings()
    auth: AuthSettings = AuthSettings()
    policy: PolicySettings = PolicySettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    secrets: SecretSettings = SecretSettings()
    audit: AuditSettings = AuditSettings()
    retention: RetentionSettings = RetentionSettings()
    egress: EgressSettings = EgressSettings()
    llm: LlmSection = LlmSection()
    mcp: McpSection = McpSection()
    servers: dict[str, ServerEntry] = {}
    model_tools: dict[str, ModelToolEntry] = {}
    toolsets: dict[str, ToolsetEntry] = {}


CATALOG_KEYS = {"llm": ("services",), "mcp": ("gateways", "stdio")}
"""Of a module's section, the keys that belong to the core's catalog."""
