"""What was approved of the definitions that upstreams publish; the definitions are theirs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Table, Text

from spindle.store.tables.metadata import METADATA

PINS = Table(
    "catalog_pins",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("definition", Text, nullable=False),
    Column("rejected", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)
