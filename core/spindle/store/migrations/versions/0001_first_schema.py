"""The first schema: tokens, catalog, sessions with their events, usage, revision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _create_tokens()
    _create_catalog()
    _create_sessions()
    _create_usage()
    revision_table = op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revision"),
    )
    op.bulk_insert(revision_table, [{"id": 1, "value": 0}])


def downgrade() -> None:
    """Take back."""
    for table in ("revision", "usage", "session_events", "sessions", "catalog_records"):
        op.drop_table(table)

    op.drop_table("api_tokens")


def _create_tokens() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("user_email", sa.Text()),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("teams", sa.Text()),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("server_id", sa.Text()),
        sa.Column("ip_restrictions", sa.Text(), nullable=False),
        sa.Column("time_restrictions", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double[float]()),
        sa.Column("revoked_at", sa.Double[float]()),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("hash", name="uq_api_tokens_hash"),
    )
    op.create_index("ix_api_tokens_prefix", "api_tokens", ["prefix"])


def _create_catalog() -> None:
    op.create_table(
        "catalog_records",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("team", sa.Text()),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_catalog_records"),
        sa.UniqueConstraint("kind", "name", name="uq_catalog_records_kind_name"),
    )
    op.create_index("ix_catalog_records_origin", "catalog_records", ["origin"])


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text()),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("expires_at", sa.Double[float](), nullable=False),
        sa.Column("ttl", sa.Double[float](), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("owner", "kind", "key", name="uq_sessions_owner_kind_key"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_table(
        "session_events",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", sa.Double[float](), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "sequence", name="pk_session_events"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["sessions.id"],
            name="fk_session_events_session_id",
            ondelete="CASCADE",
        ),
    )


def _create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double[float](), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("token_id", sa.Text()),
        sa.Column("user_email", sa.Text()),
        sa.Column("team", sa.Text()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text()),
        sa.Column("served_by", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("cost_usd", sa.Double[float]()),
        sa.Column("total_ms", sa.Double[float](), nullable=False),
        sa.Column("first_byte_ms", sa.Double[float]()),
        sa.Column("error_code", sa.Text()),
        sa.Column("attempts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_usage"),
    )
    op.create_index("ix_usage_at", "usage", ["at"])
