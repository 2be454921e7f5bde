"""`audit`: what the audit log keeps beside the changes, which it always keeps."""

from __future__ import annotations

from spindle.config.sections import Count, Section


class AuditSettings(Section):
    """`audit`."""

    denied: bool = True
    calls: bool = False
    denied_per_minute: Count = 20
    max_pending: Count = 10_000
