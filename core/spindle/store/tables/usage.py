"""Usage, the events about it, limits of callers, and budgets with what is spent of them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Table, Text, UniqueConstraint

from spindle.store.tables.metadata import METADATA

USAGE = Table(
    "usage",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("token_id", Text),
    Column("user_email", Text),
    Column("team", Text),
    Column("kind", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("backend", Text),
    Column("served_by", Text),
    Column("action", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("cost_usd", Double),
    Column("total_ms", Double, nullable=False),
    Column("first_byte_ms", Double),
    Column("error_code", Text),
    Column("attempts", Text, nullable=False),
    Column("caller_team", Text),
    Index("ix_usage_at", "at"),
    Index("ix_usage_token_id_at", "token_id", "at"),
    Index("ix_usage_user_email_at", "user_email", "at"),
)

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("type", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("claimed_by", Text),
    Column("claimed_until", Double, nullable=False),
    Index("ix_outbox_at", "at", "id"),
)
"""Events that are not published yet; a published one is gone."""

RATE_LIMITS = Table(
    "rate_limits",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("created_at", Double, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    UniqueConstraint("scope", "name"),
)

BUDGETS = Table(
    "budgets",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("limit_usd", Double),
    Column("limit_tokens", BigInteger),
    Column("is_hard", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    UniqueConstraint("scope", "name", "period"),
)

BUDGET_SPEND = Table(
    "budget_spend",
    METADATA,
    Column("budget_id", Text, primary_key=True),
    Column("holder", Text, primary_key=True),
    Column("period_start", BigInteger, primary_key=True, autoincrement=False),
    Column("process", Text, primary_key=True),
    Column("spent_nano", BigInteger, nullable=False),
    Column("spent_tokens", BigInteger, nullable=False),
    Column("leased_nano", BigInteger, nullable=False),
    Column("leased_tokens", BigInteger, nullable=False),
    Column("expires_at", Double, nullable=False),
)
"""What each process spent of a budget in a period, and what it may still spend without asking."""
