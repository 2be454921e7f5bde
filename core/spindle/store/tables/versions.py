"""What bundles changed, so that it can be taken back."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Table, Text

from spindle.store.tables.metadata import METADATA

VERSIONS = Table(
    "config_versions",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
)
