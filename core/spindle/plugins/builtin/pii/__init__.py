"""The plugin `pii`, one rule a file."""

from __future__ import annotations

from spindle.plugins.builtin.pii.plugin import Pii

__all__ = ["Pii"]
