"""Sessions of people who logged in: the hash of what their browser holds, never that itself."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Table, Text

from spindle.store.tables.metadata import METADATA

LOGIN_SESSIONS = Table(
    "login_sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column(
        "user_email",
        Text,
        ForeignKey("users.email", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("created_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
    Column("revoked_at", Double),
)
