"""The configuration: YAML files in order, the environment over them, as frozen settings."""

from __future__ import annotations

from spindle.config.files import ConfigPath
from spindle.config.load import load_settings
from spindle.config.plugins import PluginEntry, PluginSettings
from spindle.config.records import ToolOverride, record_id
from spindle.config.sections import ServerSettings
from spindle.config.settings import Settings
from spindle.secrets import SecretSource

__all__ = [
    "ConfigPath",
    "PluginEntry",
    "PluginSettings",
    "SecretSource",
    "ServerSettings",
    "Settings",
    "ToolOverride",
    "load_settings",
    "record_id",
]
