"""What goes wrong with a scripted answer, and what upstreams refuse, in no vendor's form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SECRET_TEXT = "key sk-upstream-secret-0123456789 of org-upstream"
"""What an upstream's errors say and no client of the gateway may ever read."""

OWN_WORDS = f"The upstream's own words: {SECRET_TEXT}."


class Failure(StrEnum):
    """What a refusal is about."""

    OTHER = "other"
    """Whatever its status says."""
    INVALID = "invalid"
    CONTEXT_LENGTH = "context_length"
    UNAUTHORIZED = "unauthorized"
    QUOTA = "quota"
    """Nothing is left to spend: trying again is of no use."""
    NO_MODEL = "no_model"
    NO_ROUTE = "no_route"
    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    FILTERED = "filtered"
    """The prompt may not be answered."""


class How(StrEnum):
    """How an answer goes wrong."""

    ERROR = "error"
    """The upstream says so, by a status before the first byte, in an event after it."""
    CUT = "cut"
    """The connection is closed before the end that was promised."""
    END = "end"
    """The stream ends properly for HTTP, and not for the dialect."""
    HANG = "hang"
    """Nothing more comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A refusal."""

    failure: Failure = Failure.OTHER
    status: int | None = None
    """None: what the vendor sends for such a failure."""
    message: str = ""
    """Empty: the vendor's own words for such a failure."""
    key: str = ""
    """The credential it speaks of, which the careless repeat."""
    model: str = ""
    """The model it speaks of."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    """Sent instead of a body in the vendor's form."""
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How and when an answer goes wrong."""

    how: How
    after: int | None = None
    """How many events come first; 0 is a head and nothing else, None not even a head."""
    problem: Problem = Problem(message=OWN_WORDS)
    """What an `ERROR` says."""


RETRY_BOTH = (("retry-after", "2"), ("retry-after-ms", "1500"))
"""When to come again, in both forms clients read."""

USUAL_STATUS = {
    Failure.OTHER: 500,
    Failure.INVALID: 400,
    Failure.CONTEXT_LENGTH: 400,
    Failure.UNAUTHORIZED: 401,
    Failure.QUOTA: 429,
    Failure.NO_MODEL: 404,
    Failure.NO_ROUTE: 404,
    Failure.RATE_LIMIT: 429,
    Failure.OVERLOADED: 503,
    Failure.FILTERED: 400,
}
