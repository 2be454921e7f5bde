"""Users, teams, who belongs to which in what role, custom roles, invitations."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Table,
    Text,
    UniqueConstraint,
)

from spindle.store.tables.metadata import METADATA

USERS = Table(
    "users",
    METADATA,
    Column("email", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text),
    Column("is_admin", Boolean, nullable=False),
    Column("is_service", Boolean, nullable=False),
    Column("disabled_at", Double),
    Column("origin", Text, nullable=False),
    Column("issuer", Text),
    Column("subject", Text),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("authority", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    UniqueConstraint("issuer", "subject"),
)

TEAMS = Table(
    "teams",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("description", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)

MEMBERSHIPS = Table(
    "memberships",
    METADATA,
    Column("email", Text, ForeignKey("users.email", ondelete="CASCADE"), primary_key=True),
    Column("team", Text, ForeignKey("teams.name"), primary_key=True, index=True),
    Column("role", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

ROLES = Table(
    "roles",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("description", Text, nullable=False),
    Column("permissions", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)

INVITATIONS = Table(
    "invitations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("team", Text, ForeignKey("teams.name", ondelete="CASCADE"), nullable=False),
    Column("role", Text, nullable=False),
    Column("platform_role", Text),
    Column("email", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("accepted_at", Double),
    Column("accepted_by", Text),
)
