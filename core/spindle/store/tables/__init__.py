"""The tables, as SQLAlchemy metadata. The migrations build the same schema; a test compares.

Times are seconds since the epoch. Structures are JSON text: no engine queries into them.
"""

from __future__ import annotations

from spindle.store.tables.audit import AUDIT
from spindle.store.tables.core import CATALOG, EVENTS, REVISION, SESSIONS, TOKENS
from spindle.store.tables.llm import CATALOG_OVERRIDES, LLM_MODELS, LLM_SERVICE_CONFIGS
from spindle.store.tables.logins import LOGIN_SESSIONS
from spindle.store.tables.metadata import METADATA
from spindle.store.tables.people import INVITATIONS, MEMBERSHIPS, ROLES, TEAMS, USERS
from spindle.store.tables.pins import PINS
from spindle.store.tables.plugins import PLUGINS
from spindle.store.tables.secrets import SECRETS
from spindle.store.tables.usage import BUDGET_SPEND, BUDGETS, OUTBOX, RATE_LIMITS, USAGE
from spindle.store.tables.versions import VERSIONS

__all__ = [
    "AUDIT",
    "BUDGETS",
    "BUDGET_SPEND",
    "CATALOG",
    "CATALOG_OVERRIDES",
    "EVENTS",
    "INVITATIONS",
    "LLM_MODELS",
    "LLM_SERVICE_CONFIGS",
    "LOGIN_SESSIONS",
    "MEMBERSHIPS",
    "METADATA",
    "OUTBOX",
    "PINS",
    "PLUGINS",
    "RATE_LIMITS",
    "REVISION",
    "ROLES",
    "SECRETS",
    "SESSIONS",
    "TEAMS",
    "TOKENS",
    "USAGE",
    "USERS",
    "VERSIONS",
]
