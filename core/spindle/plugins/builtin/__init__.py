"""The plugins Spindle ships. A table of where they are: none is imported unless configured."""

from __future__ import annotations

BUILTIN = {
    "limits": "spindle.plugins.builtin.limits:Limits",
    "moderation": "spindle.plugins.builtin.moderation:Moderation",
    "pii": "spindle.plugins.builtin.pii:Pii",
    "regex": "spindle.plugins.builtin.regex:Regex",
    "schema": "spindle.plugins.builtin.schema:Schema",
    "webhook": "spindle.plugins.builtin.webhook:Webhook",
}
"""Name in the configuration -> where its class is, as an entry point says it."""
