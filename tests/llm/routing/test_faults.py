"""Kinds of failures, how often one is worth another attempt, and after which pause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_llm.routing.faults import TRIGGERS, Fault, fault_of, retries_for
from spindle_llm.routing.pauses import pause_before
from spindle_spi.errors import (
    FailedPrecondition,
    GatewayError,
    InvalidArgument,
    PayloadTooLarge,
    RateLimited,
    Unavailable,
    Unsupported,
    UpstreamError,
    UpstreamTimeout,
)

pytestmark = pytest.mark.requirement("003-chat-timeouts")

MOST = 4
TABLE: list[tuple[GatewayError, int | None, Fault, str | None, int]] = [
    (InvalidArgument("x"), 400, Fault.REQUEST, None, 0),
    (PayloadTooLarge("x"), 413, Fault.REQUEST, None, 0),
    (Unsupported("x"), None, Fault.REQUEST, None, 0),
    (InvalidArgument("x", code="llm.context_length"), 400, Fault.CONTEXT, "context_length", 0),
    (RateLimited("x"), 429, Fault.RATE, "rate_limit", MOST),
    (RateLimited("x", retryable=False), 429, Fault.QUOTA, "rate_limit", 0),
    (UpstreamError("x", code="upstream_auth", retryable=False), 401, Fault.CREDENTIAL, "error", 0),
    (Unavailable("x", code="llm.provider.credential"), None, Fault.CREDENTIAL, "error", 0),
    (UpstreamError("x", code="upstream_model_missing"), 404, Fault.MODEL, "error", 0),
    (UpstreamError("x"), 500, Fault.UPSTREAM, "error", 1),
    (UpstreamError("x"), 502, Fault.UPSTREAM, "error", MOST),
    (Unavailable("x", code="upstream_overloaded"), 503, Fault.UPSTREAM, "error", MOST),
    (UpstreamError("x"), 529, Fault.UPSTREAM, "error", MOST),
    (UpstreamTimeout("x"), 504, Fault.UPSTREAM, "error", 1),
    (UpstreamTimeout("x"), None, Fault.UPSTREAM, "error", 1),
    (UpstreamError("x", code="upstream_unreachable"), None, Fault.UPSTREAM, "error", MOST),
    (UpstreamError("x", code="upstream_closed"), None, Fault.UPSTREAM, "error", MOST),
    (UpstreamError("x", code="upstream_cut"), 200, Fault.UPSTREAM, "error", 1),
    (UpstreamError("x", code="upstream_garbage"), 200, Fault.UPSTREAM, "error", 1),
    (UpstreamError("x", code="upstream_too_large"), 200, Fault.UPSTREAM, "error", 0),
    (UpstreamError("x", retryable=False), 418, Fault.UPSTREAM, "error", 0),
    (FailedPrecondition("x"), None, Fault.SETUP, "error", 0),
]


@pytest.mark.parametrize(("error", "status", "fault", "trigger", "retries"), TABLE)
def test_the_table_of_failures(
    error: GatewayError, status: int | None, fault: Fault, trigger: str | None, retries: int
) -> None:
    """What it is, which trigger lets a fallback answer, and how often it is asked again."""
    assert fault_of(error) is fault
    assert TRIGGERS.get(fault) == trigger
    assert retries_for(error, fault, status, MOST) == retries
    assert retries_for(error, fault, status, 0) == 0


@given(
    attempt=st.integers(0, 1000),
    base=st.floats(0.001, 10),
    longest=st.floats(0.001, 100),
    asked=st.none() | st.floats(0, 1000),
    remaining=st.none() | st.floats(-10, 100),
)
def test_a_pause_is_long_enough_and_never_too_long(
    attempt: int, base: float, longest: float, asked: float | None, remaining: float | None
) -> None:
    """At least what was asked for and half the backoff; within the bound and what is left."""
    pause = pause_before(attempt, base=base, longest=longest, asked=asked, remaining=remaining)

    if pause is None:
        most = max(min(8.0, base * 2.0**attempt if attempt < 30 else 8.0), asked or 0.0)
        assert most > longest or (remaining is not None and most >= remaining)
        return

    assert pause >= (asked or 0.0)
    assert pause >= min(8.0, base) / 2
    assert pause <= longest
    assert remaining is None or pause < remaining
