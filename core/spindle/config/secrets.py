"""`secrets`: where the key is that secrets in the database are encrypted with."""

from __future__ import annotations

from spindle.config.sections import Section, Text


class SecretSettings(Section):
    """`secrets`."""

    key_file: Text | None = None
    """Relative to the configuration file; `Settings.secret_key_file` is the one to open."""
