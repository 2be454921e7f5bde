"""What clients are told of Anthropic's refusals."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from spindle_llm.providers.anthropic import AnthropicAdapter
from spindle_llm.providers.anthropic_limits import shown_limits
from spindle_spi.errors import Category, GatewayError, Origin
from spindle_spi.secret import Secret

KEY = Secret("sk-ant-secret")


def refused(
    status: int, kind: str, message: str = "x", headers: dict[str, str] | None = None
) -> GatewayError:
    """Return the error of a refusal."""
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"}
    return AnthropicAdapter().refusal(status, headers or {}, json.dumps(body).encode(), KEY)


@pytest.mark.requirement("001-error-mapping")
@pytest.mark.parametrize(
    ("status", "kind", "message", "category", "code", "retryable"),
    [
        (400, "invalid_request_error", "x: y", Category.INVALID_ARGUMENT, None, False),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum",
            Category.INVALID_ARGUMENT,
            "llm.context_length",
            False,
        ),
        (
            400,
            "invalid_request_error",
            "You have reached your specified API usage limits.",
            Category.RATE_LIMITED,
            "insufficient_quota",
            False,
        ),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the API.",
            Category.RATE_LIMITED,
            "insufficient_quota",
            False,
        ),
        (402, "billing_error", "x", Category.RATE_LIMITED, "insufficient_quota", False),
        (401, "authentication_error", "x", Category.UPSTREAM_ERROR, "upstream_auth", False),
        (403, "permission_error", "x", Category.UPSTREAM_ERROR, "upstream_auth", False),
        (404, "not_found_error", "x", Category.UPSTREAM_ERROR, "upstream_model_missing", False),
        (404, "not_found_error", "model: y", Category.NOT_FOUND, "upstream_model_missing", False),
        (413, "request_too_large", "x", Category.INVALID_ARGUMENT, "request_too_large", False),
        (429, "rate_limit_error", "x", Category.RATE_LIMITED, "rate_limit_exceeded", True),
        (500, "api_error", "x", Category.UPSTREAM_ERROR, "upstream_error", True),
        (503, "api_error", "x", Category.UNAVAILABLE, "upstream_overloaded", True),
        (504, "timeout_error", "x", Category.UPSTREAM_ERROR, "upstream_timeout", True),
        (529, "overloaded_error", "x", Category.UNAVAILABLE, "upstream_overloaded", True),
    ],
)
def test_each_refusal_has_its_category_by_status_and_by_words(
    status: int, kind: str, message: str, category: Category, code: str | None, retryable: bool
) -> None:
    """A spent quota and a prompt that is too long come as wrong requests."""
    error = refused(status, kind, message)
    assert (error.category, error.origin) == (category, Origin.UPSTREAM)
    assert error.retryable is retryable
    assert code is None or error.code == code


def test_what_is_said_of_the_clients_own_input_is_passed_on() -> None:
    """With the parameter it is about, without the key."""
    error = refused(400, "invalid_request_error", "tools.0.name: sk-ant-secret is no name")
    assert error.param == "tools.0.name"
    assert error.message == "tools.0.name: *** is no name"


def test_how_long_to_wait_is_passed_on() -> None:
    """From the header."""
    for status, kind in ((429, "rate_limit_error"), (529, "overloaded_error")):
        assert refused(status, kind, headers={"retry-after": "7"}).retry_after == 7


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}'])
def test_a_refusal_without_words_goes_by_its_status(body: bytes) -> None:
    """An empty body, a page of a proxy."""
    adapter = AnthropicAdapter()
    assert adapter.refusal(400, {}, body, None).category is Category.INVALID_ARGUMENT
    assert adapter.refusal(529, {}, body, None).category is Category.UNAVAILABLE


def test_rate_limits_are_told_in_both_vendors_words() -> None:
    """When a limit is reset here, how long that takes there."""
    soon = (datetime.now(UTC) + timedelta(seconds=361)).isoformat()
    shown = shown_limits(
        {
            "Anthropic-RateLimit-Requests-Limit": "50",
            "anthropic-ratelimit-requests-reset": soon,
            "anthropic-ratelimit-tokens-reset": "2020-01-01T00:00:00Z",
            "anthropic-ratelimit-input-tokens-limit": "9",
            "anthropic-ratelimit-tokens-remaining": "8",
            "anthropic-organization-id": "secret",
            "anthropic-ratelimit-requests-odd": "z",
        }
    )
    assert shown["x-ratelimit-limit-requests"] == "50"
    assert shown["x-ratelimit-reset-requests"] in ("6m0s", "6m1s")
    assert shown["x-ratelimit-reset-tokens"] == "0s"
    assert shown["x-ratelimit-remaining-tokens"] == "8"
    assert shown["anthropic-ratelimit-input-tokens-limit"] == "9"
    assert "x-ratelimit-limit-input-tokens" not in shown
    assert "anthropic-organization-id" not in shown
    assert shown_limits({"anthropic-ratelimit-tokens-reset": "soon"}) == {
        "anthropic-ratelimit-tokens-reset": "soon"
    }
