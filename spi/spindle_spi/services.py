"""The six services as the host hands them out."""

from __future__ import annotations

from dataclasses import dataclass

from spindle_spi.auth import AuthPolicyService
from spindle_spi.catalog import CatalogService
from spindle_spi.config_secrets import ConfigSecretsService
from spindle_spi.observability import ObservabilityService
from spindle_spi.plugin import PluginService
from spindle_spi.session_event import SessionEventService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a module can ask of the core."""

    auth: AuthPolicyService
    catalog: CatalogService
    plugin: PluginService
    session_event: SessionEventService
    config_secrets: ConfigSecretsService
    observability: ObservabilityService
