"""Secrets at rest: ciphertext alone."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Table, Text

from spindle.store.tables.metadata import METADATA

SECRETS = Table(
    "secrets",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("ciphertext", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)
