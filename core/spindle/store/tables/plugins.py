"""Plugins that the API made; those of the configuration are not stored."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Table, Text

from spindle.store.tables.metadata import METADATA

PLUGINS = Table(
    "plugins",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("entry", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("updated_by", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)
