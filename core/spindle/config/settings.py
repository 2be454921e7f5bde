"""The configuration as everybody reads it: frozen, complete, without a secret in any rendering."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spindle.config.audit import AuditSettings
from spindle.config.auth import AuthSettings
from spindle.config.budgets import BudgetSettings
from spindle.config.document import Environment
from spindle.config.egress import EgressSettings
from spindle.config.events import EventSettings
from spindle.config.limits import LimitSettings
from spindle.config.plugins import PluginSettings
from spindle.config.policy import PolicySettings
from spindle.config.programs import AllowedProgram
from spindle.config.records import ToolOverride
from spindle.config.retention import RetentionSettings
from spindle.config.sections import (
    LoggingSettings,
    ModuleSettings,
    ServerSettings,
    SpiSettings,
    StoreSettings,
    UsageSettings,
)
from spindle.config.telemetry import TelemetrySettings
from spindle.secrets import SecretSource
from spindle_spi.records import CatalogRecord
from spindle_spi.secret import Secret
from spindle_spi.types import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `load_settings` returns."""

    home: Path
    """Directory of the gateway's own state."""
    path: Path | None
    """The first file or directory it was read from, if there is one."""
    environment: Environment
    server: ServerSettings
    store: StoreSettings
    store_url: str = field(repr=False)
    """Database to open, as SQLAlchemy spells it; may hold a password."""
    usage: UsageSettings
    limits: LimitSettings
    budgets: BudgetSettings
    events: EventSettings
    spi: SpiSettings
    features: Mapping[str, bool]
    modules: ModuleSettings
    logging: LoggingSettings
    plugins: PluginSettings
    auth: AuthSettings
    policy: PolicySettings
    telemetry: TelemetrySettings
    audit: AuditSettings
    egress: EgressSettings
    retention: RetentionSettings
    secret_key: Secret | None
    """The master key or keys the environment gives."""
    secret_key_file: Path | None
    """The file they are in otherwise."""
    declared: tuple[CatalogRecord, ...]
    """Records with the origin `config`."""
    programs: tuple[AllowedProgram, ...]
    """Programs that may be made gateways outside of the configuration."""
    tool_overrides: Mapping[tuple[str, str], ToolOverride]
    """By gateway and upstream tool."""
    secret_sources: Mapping[str, SecretSource]
    """By `SecretRef.name`."""
    warnings: tuple[str, ...]
    """What is allowed but should be known, one sentence each."""
    paths: tuple[Path, ...] = ()
    """Every file and directory it was read from, in order; later ones win."""
    notes: tuple[str, ...] = ()
    """What one file says over another, one sentence each."""
    sections: Mapping[str, JsonObject] = field(repr=False)
    """Modules' own keys by section name; read them by `section`."""

    def section(self, name: str) -> JsonObject:
        """Return a copy of a module's own keys; empty when there are none."""
        return copy.deepcopy(self.sections.get(name, {}))
