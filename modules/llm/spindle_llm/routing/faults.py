"""What kind of failure an attempt met, and what may be done about it: ask again, ask another.

The table of errors, read for routing:

| fault | ask again | ask another, where the model's triggers say |
|---|---|---|
| the client's own request (400, 413, 422) | no | no |
| the context is too long | no | `context_length` |
| rate limit (429) | `max_retries` | `rate_limit` |
| quota exhausted | no | `rate_limit` |
| our credential is refused (401, 403) | no | `error` |
| the model is missing there (404) | no | `error` |
| 500, 504, too late, a good status and then none | once | `error` |
| 502, 503, 529, no connection | `max_retries` | `error` |
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from spindle_spi.errors import (
    GatewayError,
    InvalidArgument,
    RateLimited,
    Unavailable,
    Unsupported,
    UpstreamError,
)

_CONTEXT: Final = frozenset({"llm.context_length", "context_length_exceeded"})
_CREDENTIAL: Final = frozenset({"upstream_auth", "llm.provider.credential"})
_MODEL: Final = frozenset({"upstream_model_missing", "model_not_found"})
_ONCE: Final = frozenset({"upstream_timeout", "upstream_garbage"})
"""Without an answer: it had its time, or speaks something else."""
_NEVER: Final = frozenset({"upstream_too_large"})
"""It would be the same again, and cost as much."""


class Fault(StrEnum):
    """Kinds of failures."""

    REQUEST = "request"
    """The client's own."""
    CONTEXT = "context_length"
    RATE = "rate_limit"
    QUOTA = "quota"
    CREDENTIAL = "credential"
    MODEL = "model_missing"
    UPSTREAM = "upstream"
    SETUP = "setup"
    """Ours or the operator's: no address, no adapter."""


TRIGGERS: Final[dict[Fault, str]] = {
    Fault.CONTEXT: "context_length",
    Fault.RATE: "rate_limit",
    Fault.QUOTA: "rate_limit",
    Fault.CREDENTIAL: "error",
    Fault.MODEL: "error",
    Fault.UPSTREAM: "error",
    Fault.SETUP: "error",
}
"""Which of a model's triggers lets its fallbacks answer; a fault that is not here has none."""


def fault_of(error: GatewayError) -> Fault:
    """Return what kind of failure an error of an attempt is."""
    code = error.code

    if code in _CONTEXT:
        return Fault.CONTEXT

    if isinstance(error, RateLimited):
        return Fault.RATE if error.retryable else Fault.QUOTA

    if isinstance(error, InvalidArgument | Unsupported):
        return Fault.REQUEST

    if code in _CREDENTIAL:
        return Fault.CREDENTIAL

    if code in _MODEL:
        return Fault.MODEL

    return Fault.UPSTREAM if isinstance(error, UpstreamError | Unavailable) else Fault.SETUP


def retries_for(error: GatewayError, fault: Fault, status: int | None, most: int) -> int:
    """Return how often a provider may be asked again after an error; `most` is its own bound.

    `status` is that of its answer, None when there was none.
    """
    if not error.retryable or fault not in (Fault.RATE, Fault.UPSTREAM):
        return 0

    if error.code in _NEVER:
        return 0

    is_once = error.code in _ONCE if status is None else status < 300 or status in (500, 504)
    return min(1, most) if is_once else most
