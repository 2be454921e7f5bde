"""The tables, as SQLAlchemy metadata. The migrations build the same schema; a test compares.

Times are seconds since the epoch. Structures are JSON text: no engine queries into them.
"""

from __future__ import annotations

from spindle.store.tables.audit import AUDIT
from spindle.store.tables.core import CATALOG, EVENTS, REVISION, SESSIONS, TOKENS, USAGE
from spindle.store.tables.metadata import METADATA
from spindle.store.tables.secrets import SECRETS

__all__ = [
    "AUDIT",
    "SECRETS",
    "CATALOG",
    "EVENTS",
    "METADATA",
    "REVISION",
    "SESSIONS",
    "TOKENS",
    "USAGE",
]
