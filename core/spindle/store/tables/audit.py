"""The audit log. Ids rise with time: their order is the order of what happened."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Table, Text

from spindle.store.tables.metadata import METADATA

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("actor", Text),
    Column("token_id", Text),
    Column("action", Text, nullable=False),
    Column("target_kind", Text),
    Column("target", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("client_ip", Text),
    Column("before", Text),
    Column("after", Text),
    Index("ix_audit_at", "at"),
    Index("ix_audit_request_id", "request_id"),
)
