"""Governance: what an operator answers for. One function for each file of `store/tables`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _create_plugins()
    _create_secrets()
    _create_audit()
    _create_people()
    _extend_tokens()
    _extend_catalog()
    _create_llm()
    _change_usage()
    _create_logins()
    _create_versions()


def downgrade() -> None:
    """Take back."""
    op.drop_table("config_versions")
    op.drop_table("login_sessions")
    op.drop_table("plugins")
    op.drop_table("catalog_overrides")
    op.drop_table("llm_service_configs")
    op.drop_table("llm_models")
    _change_usage_back()
    _shorten_tokens()
    _shorten_catalog()

    for table in ("invitations", "roles", "memberships", "teams", "users"):
        op.drop_table(table)

    op.drop_table("audit")
    op.drop_table("secrets")


def _create_versions() -> None:
    op.create_table(
        "config_versions",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double[float](), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_config_versions"),
    )


def _create_logins() -> None:
    op.create_table(
        "login_sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("user_email", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("seen_at", sa.Double[float](), nullable=False),
        sa.Column("expires_at", sa.Double[float](), nullable=False),
        sa.Column("revoked_at", sa.Double[float]()),
        sa.PrimaryKeyConstraint("id", name="pk_login_sessions"),
        sa.UniqueConstraint("hash", name="uq_login_sessions_hash"),
        sa.ForeignKeyConstraint(
            ["user_email"],
            ["users.email"],
            name="fk_login_sessions_user_email",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_login_sessions_user_email", "login_sessions", ["user_email"])
    op.create_index("ix_login_sessions_expires_at", "login_sessions", ["expires_at"])


def _create_secrets() -> None:
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("updated_at", sa.Double[float](), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double[float](), nullable=False),
        sa.Column("actor", sa.Text()),
        sa.Column("token_id", sa.Text()),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target_kind", sa.Text()),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("client_ip", sa.Text()),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_request_id", "audit", ["request_id"])


def _create_people() -> None:
    op.create_table(
        "users",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text()),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("is_service", sa.Boolean(), nullable=False),
        sa.Column("disabled_at", sa.Double[float]()),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text()),
        sa.Column("subject", sa.Text()),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("updated_at", sa.Double[float](), nullable=False),
        sa.Column("authority", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("email", name="pk_users"),
        sa.UniqueConstraint("issuer", "subject", name="uq_users_issuer_subject"),
    )
    op.create_table(
        "teams",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("updated_at", sa.Double[float](), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_teams"),
    )
    op.create_table(
        "memberships",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("email", "team", name="pk_memberships"),
        sa.ForeignKeyConstraint(
            ["email"], ["users.email"], name="fk_memberships_email", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["team"], ["teams.name"], name="fk_memberships_team"),
    )
    op.create_index("ix_memberships_team", "memberships", ["team"])
    op.create_table(
        "roles",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("updated_at", sa.Double[float](), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_roles"),
    )
    op.create_table(
        "invitations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("platform_role", sa.Text()),
        sa.Column("email", sa.Text()),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("expires_at", sa.Double[float](), nullable=False),
        sa.Column("revoked_at", sa.Double[float]()),
        sa.Column("accepted_at", sa.Double[float]()),
        sa.Column("accepted_by", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("hash", name="uq_invitations_hash"),
        sa.ForeignKeyConstraint(
            ["team"], ["teams.name"], name="fk_invitations_team", ondelete="CASCADE"
        ),
    )


def _extend_tokens() -> None:
    op.add_column("api_tokens", sa.Column("created_by", sa.Text()))
    op.add_column("api_tokens", sa.Column("last_used_at", sa.Double[float]()))
    op.add_column("api_tokens", sa.Column("last_used_ip", sa.Text()))


def _shorten_tokens() -> None:
    for column in ("last_used_ip", "last_used_at", "created_by"):
        op.drop_column("api_tokens", column)


def _extend_catalog() -> None:
    op.add_column("catalog_records", sa.Column("created_at", sa.Double[float]()))
    op.add_column("catalog_records", sa.Column("created_by", sa.Text()))
    op.add_column("catalog_records", sa.Column("updated_at", sa.Double[float]()))
    op.add_column("catalog_records", sa.Column("updated_by", sa.Text()))


def _shorten_catalog() -> None:
    for column in ("updated_by", "updated_at", "created_by", "created_at"):
        op.drop_column("catalog_records", column)


def _change_usage() -> None:
    op.add_column("usage", sa.Column("caller_team", sa.Text()))
    op.create_index("ix_usage_token_id_at", "usage", ["token_id", "at"])
    op.create_index("ix_usage_user_email_at", "usage", ["user_email", "at"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double[float](), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("claimed_by", sa.Text()),
        sa.Column("claimed_until", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_at", "outbox", ["at", "id"])
    op.create_table(
        "rate_limits",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("requests_per_minute", sa.BigInteger()),
        sa.Column("tokens_per_minute", sa.BigInteger()),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rate_limits"),
        sa.UniqueConstraint("scope", "name", name="uq_rate_limits_scope_name"),
    )
    _create_budgets()


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("limit_usd", sa.Double[float]()),
        sa.Column("limit_tokens", sa.BigInteger()),
        sa.Column("is_hard", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_budgets"),
        sa.UniqueConstraint("scope", "name", "period", name="uq_budgets_scope_name_period"),
    )
    op.create_table(
        "budget_spend",
        sa.Column("budget_id", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("period_start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("spent_nano", sa.BigInteger(), nullable=False),
        sa.Column("spent_tokens", sa.BigInteger(), nullable=False),
        sa.Column("leased_nano", sa.BigInteger(), nullable=False),
        sa.Column("leased_tokens", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Double[float](), nullable=False),
        sa.PrimaryKeyConstraint(
            "budget_id", "holder", "period_start", "process", name="pk_budget_spend"
        ),
    )


def _change_usage_back() -> None:
    for table in ("budget_spend", "budgets", "rate_limits", "outbox"):
        op.drop_table(table)

    op.drop_index("ix_usage_user_email_at", "usage")
    op.drop_index("ix_usage_token_id_at", "usage")
    op.drop_column("usage", "caller_team")


def _create_llm() -> None:
    op.create_table(
        "llm_models",
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("publisher", sa.Text()),
        sa.Column("modified_at", sa.BigInteger()),
        sa.Column("architecture", sa.Text()),
        sa.Column("quantization", sa.Text()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("max_tokens", sa.Integer()),
        sa.Column("size", sa.BigInteger()),
        sa.Column("streaming", sa.Boolean(), nullable=False),
        sa.Column("instructed", sa.Boolean(), nullable=False),
        sa.Column("coding", sa.Boolean(), nullable=False),
        sa.Column("tooling", sa.Boolean(), nullable=False),
        sa.Column("is_mlx", sa.Boolean(), nullable=False),
        sa.Column("is_gguf", sa.Boolean(), nullable=False),
        sa.Column("parameters", sa.BigInteger()),
        sa.Column("runtime_name", sa.Text()),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("file_path", sa.Text()),
        sa.PrimaryKeyConstraint("record_id", name="pk_llm_models"),
        _of_record("llm_models"),
    )
    op.create_table(
        "llm_service_configs",
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("service_name", sa.Text(), nullable=False),
        sa.Column("api_format", sa.Text(), nullable=False),
        sa.Column("api_key_env_var", sa.Text()),
        sa.Column("urls", sa.JSON(), nullable=False),
        sa.Column("short_timeout_sec", sa.Integer(), nullable=False),
        sa.Column("long_timeout_sec", sa.Integer(), nullable=False),
        sa.Column("verify_cert", sa.Boolean(), nullable=False),
        sa.Column("enable_discovery", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("record_id", name="pk_llm_service_configs"),
        _of_record("llm_service_configs"),
    )
    op.create_table(
        "catalog_overrides",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name="pk_catalog_overrides"),
    )
    op.create_index("ix_catalog_overrides_source", "catalog_overrides", ["source"])
    # Until now every record came from the configuration: read again at the start, they are
    # written again, and with them their rows in these tables.
    op.execute("DELETE FROM catalog_records WHERE kind IN ('model', 'provider')")


def _of_record(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["record_id"],
        ["catalog_records.id"],
        name=f"fk_{table}_record_id",
        ondelete="CASCADE",
    )


def _create_plugins() -> None:
    op.create_table(
        "plugins",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double[float](), nullable=False),
        sa.Column("updated_at", sa.Double[float](), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_plugins"),
    )
