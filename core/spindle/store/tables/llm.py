"""What catalog records say of models and providers in columns, and overrides of published ones.

The first two tables are written with the record they belong to and go with it; they are never
read back: `catalog_records` is the truth.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Integer, Table, Text

from spindle.store.tables.metadata import METADATA

_OWNER = "catalog_records.id"

LLM_MODELS = Table(
    "llm_models",
    METADATA,
    Column("record_id", Text, ForeignKey(_OWNER, ondelete="CASCADE"), primary_key=True),
    Column("type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("publisher", Text),
    Column("modified_at", BigInteger),
    Column("architecture", Text),
    Column("quantization", Text),
    Column("name", Text, nullable=False),
    Column("max_tokens", Integer),
    Column("size", BigInteger),
    Column("streaming", Boolean, nullable=False),
    Column("instructed", Boolean, nullable=False),
    Column("coding", Boolean, nullable=False),
    Column("tooling", Boolean, nullable=False),
    Column("is_mlx", Boolean, nullable=False),
    Column("is_gguf", Boolean, nullable=False),
    Column("parameters", BigInteger),
    Column("runtime_name", Text),
    Column("service", Text, nullable=False),
    Column("file_path", Text),
)

LLM_SERVICE_CONFIGS = Table(
    "llm_service_configs",
    METADATA,
    Column("record_id", Text, ForeignKey(_OWNER, ondelete="CASCADE"), primary_key=True),
    Column("service_name", Text, nullable=False),
    Column("api_format", Text, nullable=False),
    Column("api_key_env_var", Text),
    Column("urls", JSON, nullable=False),
    Column("short_timeout_sec", Integer, nullable=False),
    Column("long_timeout_sec", Integer, nullable=False),
    Column("verify_cert", Boolean, nullable=False),
    Column("enable_discovery", Boolean, nullable=False),
)

CATALOG_OVERRIDES = Table(
    "catalog_overrides",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("source", Text, nullable=False, index=True),
    Column("wanted", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
)
