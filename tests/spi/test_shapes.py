"""Error shapes: every category on every surface, statuses, and what clients are told of retries."""

from __future__ import annotations

import json
from string import Template
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_spi.errors import (
    Category,
    Conflict,
    FailedPrecondition,
    GatewayError,
    InvalidArgument,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
    base_of,
)
from spindle_spi.shapes import ANTHROPIC, ENVELOPE, JSON_RPC, OPENAI, ErrorCase, ErrorShape
from tests.spi.derived import bounded

SHAPES = [OPENAI, ANTHROPIC, JSON_RPC, ENVELOPE]
STATUS = {
    Category.INVALID_ARGUMENT: 400,
    Category.UNAUTHENTICATED: 401,
    Category.PERMISSION_DENIED: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.FAILED_PRECONDITION: 400,
    Category.RATE_LIMITED: 429,
    Category.UNSUPPORTED: 400,
    Category.UNAVAILABLE: 503,
    Category.UPSTREAM_ERROR: 502,
    Category.INTERNAL: 500,
}


def fields_in(shape: ErrorShape, error: GatewayError) -> tuple[dict[str, Any], dict[str, str]]:
    """Return body and headers of a rendered error."""
    rendered = shape.render(error, "trace-1")
    assert json.loads(shape.body(error, "trace-1")) == json.loads(rendered.body)
    return json.loads(rendered.body), dict(rendered.headers)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("category", list(Category))
def test_each_category_has_its_status_and_says_who_failed(
    shape: ErrorShape, category: Category
) -> None:
    """The four surfaces agree on both, and give the id of the request."""
    error = base_of(category)("said")
    assert shape.render(error, "trace-1").status == STATUS[category]
    body, headers = fields_in(shape, error)
    assert headers["x-spindle-origin"] == error.origin.value
    assert headers[shape.request_id_header] == "trace-1"
    assert headers["content-type"] == "application/json"
    assert ("www-authenticate" in headers) == (category is Category.UNAUTHENTICATED)
    assert body["error"]["message"] == "said"


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@given(message=st.text(st.characters()), code=st.text(st.characters(), min_size=1))
@bounded
def test_whatever_is_said_stays_inside_its_json_string(
    shape: ErrorShape, message: str, code: str
) -> None:
    """Quotes, dollars and lone surrogates included."""
    body, _ = fields_in(shape, NotFound(message, code=code, param="$message"))
    assert body["error"]["message"] == message


def test_openai_clients_find_all_four_fields() -> None:
    """Any other body leaves their exception empty."""
    body, _ = fields_in(OPENAI, InvalidArgument("said", param="model"))
    assert body == {
        "error": {
            "message": "said",
            "type": "invalid_request_error",
            "param": "model",
            "code": "invalid_argument",
        }
    }
    assert fields_in(OPENAI, NotFound("said"))[0]["error"]["param"] is None


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (Unauthenticated("said"), "invalid_api_key", "authentication_error"),
        (
            NotFound("said", code="llm.model.not_found"),
            "model_not_found",
            "invalid_request_error",
        ),
        (RateLimited("said"), "rate_limit_exceeded", "rate_limit_error"),
        (PayloadTooLarge("said"), "request_too_large", "request_too_large"),
        (UpstreamTimeout("said"), "upstream_timeout", "server_error"),
    ],
)
def test_openai_clients_get_the_codes_they_know(error: GatewayError, code: str, kind: str) -> None:
    """Ours where OpenAI has none."""
    said = fields_in(OPENAI, error)[0]["error"]
    assert (said["code"], said["type"]) == (code, kind)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidArgument("said"), "invalid_request_error"),
        (NotFound("said"), "not_found_error"),
        (PayloadTooLarge("said"), "request_too_large"),
        (UpstreamError("said"), "api_error"),
        (UpstreamTimeout("said"), "timeout_error"),
    ],
)
def test_anthropic_clients_get_their_form(error: GatewayError, kind: str) -> None:
    """The request id stands in the body and in the header they read."""
    body, headers = fields_in(ANTHROPIC, error)
    assert body == {
        "type": "error",
        "error": {"type": kind, "message": "said"},
        "request_id": "trace-1",
    }
    assert headers["request-id"] == "trace-1"


def test_mcp_clients_get_a_json_rpc_error_without_an_id() -> None:
    """The core answers before it knows the id of the call."""
    body, headers = fields_in(JSON_RPC, Unauthenticated("said"))
    assert body["jsonrpc"] == "2.0"
    assert body["id"] is None
    assert body["error"]["code"] == -32001
    assert body["error"]["data"] == {
        "code": "unauthenticated",
        "origin": "client",
        "traceId": "trace-1",
    }
    assert headers["www-authenticate"].startswith("Bearer ")


def test_our_own_envelope_has_every_field_of_the_error_model() -> None:
    """Nothing more and nothing less."""
    body, _ = fields_in(ENVELOPE, Unavailable("said"))
    assert body == {
        "error": {
            "category": "UNAVAILABLE",
            "code": "unavailable",
            "message": "said",
            "origin": "core",
            "retryable": True,
            "traceId": "trace-1",
        }
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PayloadTooLarge("said"), 413),
        (MethodNotAllowed("said"), 405),
        (UpstreamTimeout("said"), 504),
        (FailedPrecondition("said", http_status=412), 412),
        (PayloadTooLarge("said", http_status=431), 431),
        (InvalidArgument("said"), 422),
        (PayloadTooLarge("said", http_status=400), 422),
    ],
)
def test_an_error_with_a_status_of_its_own_keeps_it(error: GatewayError, status: int) -> None:
    """Its class or the instance may have one; otherwise the surface decides."""
    cases = {**ENVELOPE.cases, Category.INVALID_ARGUMENT: ErrorCase(status=422, body="{}")}
    assert ErrorShape(name="strict", cases=cases).render(error, "t").status == status


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RateLimited("said"), {}),
        (RateLimited("said", retry_after=1.2), {"retry-after": "2", "retry-after-ms": "1200"}),
        (RateLimited("said", retry_after=-1), {"retry-after": "0", "retry-after-ms": "0"}),
        (
            RateLimited("said", retry_after=121),
            {"retry-after": "121", "retry-after-ms": "121000", "x-should-retry": "false"},
        ),
        (RateLimited("out of budget", retryable=False), {"x-should-retry": "false"}),
        (
            RateLimited("out of budget", retryable=False, retry_after=9),
            {"retry-after": "9", "retry-after-ms": "9000", "x-should-retry": "false"},
        ),
        (Conflict("said"), {"x-should-retry": "false"}),
        (Unavailable("said"), {}),
        (UpstreamError("said", retryable=False), {"x-should-retry": "false"}),
        (InvalidArgument("said", http_status=408), {"x-should-retry": "false"}),
        (InvalidArgument("said"), {}),
    ],
)
def test_retry_headers_tell_the_truth(error: GatewayError, expected: dict[str, str]) -> None:
    """Clients that retry by themselves learn when to wait and when it is no use."""
    _, headers = fields_in(OPENAI, error)
    assert {name: value for name, value in headers.items() if "retry" in name} == expected


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_templates_use_only_the_names_there_are(shape: ErrorShape) -> None:
    """So that the core can fill them for any module."""
    names = {"message", "code", "param", "category", "origin", "retryable", "trace_id"}

    for case in (*shape.cases.values(), *shape.by_status.values()):
        assert set(Template(case.body).get_identifiers()) <= names
