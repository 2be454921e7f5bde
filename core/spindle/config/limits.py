"""The section `limits`: how much a caller may do in a minute."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from spindle.config.sections import Count, Section, Text, refuse

_SCHEMES = ("redis://", "rediss://", "unix://")


def _check_redis(value: str) -> str:
    if not value.startswith(_SCHEMES):
        raise refuse("is not a Redis URL", "redis://HOST[:PORT][/NUMBER] or rediss://…")

    return value


class RateEntry(Section):
    """What one holder may do in any minute; what is not given is not limited."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None


class LimitSettings(Section):
    """`limits`: bounds on callers."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    each_user: RateEntry = RateEntry()
    each_team: RateEntry = RateEntry()
    roles: dict[str, RateEntry] = {}
    users: dict[str, RateEntry] = {}
    teams: dict[str, RateEntry] = {}
    backend: Literal["memory", "redis"] = "memory"
    redis_url: Annotated[str, AfterValidator(_check_redis)] = Field(
        default="redis://127.0.0.1:6379/0", repr=False
    )
    redis_prefix: Text = "spindle"
    on_backend_error: Literal["local", "deny"] | None = None
    """None means deny in production, else local."""
