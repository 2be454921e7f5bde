"""The plugins Spindle ships. A table of where they are: none is imported unless configured."""

from __future__ import annotations

BUILTIN = {"pii": "spindle.plugins.builtin.pii:Pii"}
"""Name in the configuration -> where its class is, as an entry point says it."""
