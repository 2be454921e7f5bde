"""How a call ended, in the words of its event: what failed, and whether a rate limit had a part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_spi.admission import Status
from spindle_spi.errors import (
    Category,
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
    Unavailable,
    Unsupported,
    UpstreamError,
)

if TYPE_CHECKING:
    from spindle_spi.admission import Outcome
    from spindle_spi.types import JsonObject

_RATE_LIMITED: Final = frozenset({RateLimited.default_code, "insufficient_quota"})
_BY_CODE: Final = {
    kind.default_code: kind.category
    for kind in (
        Conflict,
        FailedPrecondition,
        InvalidArgument,
        NotFound,
        PermissionDenied,
        RateLimited,
        Unauthenticated,
        Unavailable,
        Unsupported,
        UpstreamError,
    )
} | {
    "insufficient_quota": Category.RATE_LIMITED,
    "upstream_overloaded": Category.UNAVAILABLE,
    "llm.context_length": Category.INVALID_ARGUMENT,
}


def rate_limit_status(outcome: Outcome) -> str:
    """Return OK, THROTTLED (a limit on the way to an answer) or BLOCKED (it was the end)."""
    if outcome.error_code in _RATE_LIMITED:
        return "BLOCKED"

    met = any(attempt.outcome in _RATE_LIMITED for attempt in outcome.attempts)
    return "THROTTLED" if met else "OK"


def error_of(outcome: Outcome) -> JsonObject:
    """Return what failed, as code and category; both are null of a call that was cancelled."""
    code = outcome.error_code
    category = _category(outcome.status, code)
    return {"category": None if category is None else category.value, "code": code}


def _category(status: Status, code: str | None) -> Category | None:
    if status is Status.DENIED:
        return Category.PERMISSION_DENIED

    if status is Status.LOST:
        return Category.INTERNAL

    if code is None or status is Status.CANCELLED:
        return None

    if code in _BY_CODE:
        return _BY_CODE[code]

    return Category.UPSTREAM_ERROR if code.startswith("upstream_") else Category.INTERNAL
