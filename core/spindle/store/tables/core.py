"""Tokens, catalog records, sessions with their events, and the revision."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from spindle.store.tables.metadata import METADATA

TOKENS = Table(
    "api_tokens",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False, index=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("created_at", Double, nullable=False),
    Column("user_email", Text),
    Column("is_admin", Boolean, nullable=False),
    Column("teams", Text),
    Column("permissions", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("server_id", Text),
    Column("ip_restrictions", Text, nullable=False),
    Column("time_restrictions", Text, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("epoch", BigInteger, nullable=False),
    Column("created_by", Text),
    Column("last_used_at", Double),
    Column("last_used_ip", Text),
)

CATALOG = Table(
    "catalog_records",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("module", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("owner", Text),
    Column("team", Text),
    Column("visibility", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("origin", Text, nullable=False, index=True),
    Column("tags", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("created_at", Double),
    Column("created_by", Text),
    Column("updated_at", Double),
    Column("updated_by", Text),
    UniqueConstraint("kind", "name"),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("key", Text),
    Column("owner", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
    Column("ttl", Double, nullable=False),
    Column("data", Text, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    UniqueConstraint("owner", "kind", "key"),
)

EVENTS = Table(
    "session_events",
    METADATA,
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("data", Text, nullable=False),
)

REVISION = Table(
    "revision",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)
