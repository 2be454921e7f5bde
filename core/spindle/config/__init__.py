"""The configuration: one YAML file, the environment over it, read once into frozen settings."""

from __future__ import annotations

from spindle.config.load import load_settings
from spindle.config.records import ToolOverride, record_id
from spindle.config.sections import PluginEntry, PluginSettings, ServerSettings
from spindle.config.settings import Settings
from spindle.secrets import SecretSource

__all__ = [
    "PluginEntry",
    "PluginSettings",
    "SecretSource",
    "ServerSettings",
    "Settings",
    "ToolOverride",
    "load_settings",
    "record_id",
]
