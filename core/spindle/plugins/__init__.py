"""Content plugins: loaded from configuration, run over segments, guarding streams.

Not the SPI's plugin service: that one (`spindle.services.plugin`) checks permits and calls this.
"""

from __future__ import annotations

from spindle.plugins.guard import Guard, open_guard
from spindle.plugins.pipeline import run_phase
from spindle.plugins.registry import EMPTY, PluginRegistry

__all__ = [
    "EMPTY",
    "Guard",
    "PluginRegistry",
    "open_guard",
    "run_phase",
]
