"""What clients are told of an upstream's refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.scripts import dump
from spindle_llm.providers.refusals import refusal_of, retry_after, told_in_stream
from spindle_spi.errors import Category, Origin
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle_spi.types import Json

KEY = Secret("very-secret")


def _body(**error: Json) -> bytes:
    return dump({"error": error})


@pytest.mark.parametrize(
    ("status", "told", "code", "retryable"),
    [
        (301, 502, "upstream_refused", False),
        (400, 400, "bad_thing", False),
        (401, 502, "upstream_auth", False),
        (402, 429, "insufficient_quota", False),
        (403, 502, "upstream_auth", False),
        (404, 502, "upstream_model_missing", False),
        (413, 400, "bad_thing", False),
        (422, 400, "bad_thing", False),
        (429, 429, "rate_limit_exceeded", True),
        (407, 502, "upstream_auth", False),
        (408, 504, "upstream_timeout", True),
        (418, 502, "upstream_refused", False),
        (499, 502, "upstream_error", True),
        (500, 502, "upstream_error", True),
        (502, 503, "upstream_unreachable", True),
        (503, 503, "upstream_overloaded", True),
        (504, 504, "upstream_timeout", True),
        (529, 503, "upstream_overloaded", True),
    ],
)
def test_each_status_has_its_meaning(status: int, told: int, code: str, retryable: bool) -> None:
    """The origin is the upstream; a credential of ours that it refuses is not the client's 401."""
    error = refusal_of(status, {}, _body(message="m", code="bad_thing"), KEY)
    assert (error.http_status, error.code, error.retryable) == (told, code, retryable)
    assert error.origin is Origin.UPSTREAM


def test_what_a_vendor_says_of_the_clients_input_is_passed_on() -> None:
    """Message, code and parameter: SDKs and users read them."""
    error = refusal_of(
        400,
        {},
        _body(message="Too long: 9 > 8 tokens", code="context_length_exceeded", param="messages"),
        None,
    )
    assert (error.message, error.code, error.param) == (
        "Too long: 9 > 8 tokens",
        "llm.context_length",
        "messages",
    )


@pytest.mark.parametrize(
    "secret",
    [
        "very-secret",
        "sk-proj-abcdef0123",
        "sk-…abcdef"[:3] + "*" * 12,
        "Bearer abc.def",
        "org-1234567890",
        "A" * 48,
    ],
)
def test_credentials_are_scrubbed_from_it(secret: str) -> None:
    """Vendors like to repeat the key they were given."""
    error = refusal_of(400, {}, _body(message=f"Wrong key {secret}. Sorry"), KEY)
    assert secret not in error.message
    assert error.message.startswith("Wrong key ***")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>no</html>", b"[]", b"no", b'"no"', b'{"no":"no"}', b"\xff", b"[" * 9999],
)
def test_other_words_of_an_upstream_stay_with_us(body: bytes) -> None:
    """Only what vendors write is passed on; what comes from a proxy between is not."""
    error = refusal_of(400, {}, body, None)
    assert error.message == "The upstream says that the request is wrong."
    assert error.code == "upstream_refused"


def test_a_message_and_a_code_have_bounds() -> None:
    """A code is a word; a message is no book."""
    error = refusal_of(400, {}, _body(message="x " * 5000, code="No Code"), None)
    assert len(error.message) <= 1000
    assert error.code == "upstream_refused"


def test_an_exhausted_quota_is_final() -> None:
    """Waiting does not help."""
    error = refusal_of(429, {"retry-after": "1"}, _body(code="insufficient_quota"), None)
    assert (error.code, error.retryable, error.retry_after) == ("insufficient_quota", False, None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "later"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, 0.0),
    ],
)
def test_a_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds, seconds, a date."""
    assert retry_after(headers) == seconds


def test_a_wait_until_a_date_is_a_number_of_seconds() -> None:
    """From now."""
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    seconds = retry_after({"retry-after": at})
    assert seconds is not None
    assert 50 < seconds <= 60


_TOO_LONG = "the request exceeds the available context size"


@pytest.mark.parametrize(
    "body",
    [
        dump({"error": {"message": "m", "code": "context_length_exceeded"}}),
        dump({"error": {"message": "m", "type": "exceed_context_size_error", "code": 400}}),
        dump({"error": {"message": "This model's maximum context length is 8 tokens.", "code": 1}}),
        dump({"error": _TOO_LONG}),
        dump({"message": _TOO_LONG}),
        dump({"detail": "prompt is too long: 9 tokens > 8"}),
        dump([{"error": {"message": _TOO_LONG, "code": 400}}]),
        dump(_TOO_LONG),
        _TOO_LONG.encode(),
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_a_context_that_is_too_long_is_told_in_every_form(status: int, body: bytes) -> None:
    """By a code or by words: a bigger model may take it, so it has to be known."""
    error = refusal_of(status, {}, body, None)
    assert (error.code, error.http_status, error.retryable) == ("llm.context_length", 400, False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, b""),
        (402, b"<html>pay</html>"),
        (429, dump({"error": {"message": "m", "code": "insufficient_quota"}})),
        (429, dump({"error": {"message": "m", "type": "insufficient_quota", "code": 1113}})),
        (429, dump({"error": "you have reached your weekly usage limit"})),
        (403, dump({"error": {"message": "Insufficient credits.", "code": 403}})),
        (429, b"Insufficient balance"),
    ],
)
def test_a_spent_quota_is_told_in_every_form(status: int, body: bytes) -> None:
    """Another provider may do; waiting does not help."""
    error = refusal_of(status, {"retry-after": "1"}, body, None)
    assert (error.code, error.http_status, error.retryable) == ("insufficient_quota", 429, False)
    assert error.message == "The upstream's quota is exhausted."


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, dump({"error": {"message": "m", "code": "model_not_found"}})),
        (404, dump({"error": {"code": "DeploymentNotFound", "message": "m"}})),
        (404, dump({"error": "model 'x' not found"})),
        (404, b"No running session found for model 'x'"),
        (400, dump({"message": "Cannot find model: x"})),
        (400, dump({"message": "Model has not been loaded, please load model"})),
        (400, dump({"error": {"message": "x is not a valid model ID", "code": 400}})),
    ],
)
def test_a_missing_model_is_told_in_every_form(status: int, body: bytes) -> None:
    """It is no fault of the gateway's."""
    error = refusal_of(status, {}, body, None)
    assert (error.category, error.http_status) == (Category.NOT_FOUND, 404)
    assert (error.code, error.retryable) == ("upstream_model_missing", False)
    assert error.message == "The upstream does not have this model."


@pytest.mark.parametrize(
    "body",
    [b"", b"busy", b"<html>busy</html>", dump({"error": "busy"}), dump({"error": {"code": 1305}})],
)
def test_an_overload_says_when_to_come_again(body: bytes) -> None:
    """In no words of the upstream's."""
    error = refusal_of(503, {"retry-after": "7"}, body, None)
    assert (error.category, error.retry_after) == (Category.UNAVAILABLE, 7.0)
    assert error.message == "The upstream is overloaded."


@pytest.mark.parametrize(
    ("told", "code", "status"),
    [
        ({"code": 429, "message": "secret"}, "rate_limit_exceeded", 429),
        ({"type": "overloaded_error", "message": "secret"}, "upstream_overloaded", 503),
        ({"code": "insufficient_quota"}, "insufficient_quota", 429),
        ({"code": 402}, "insufficient_quota", 429),
        ({"code": 504}, "upstream_timeout", 504),
        ({"message": "maximum context length is 8 (secret)"}, "llm.context_length", 400),
        ({"code": 1302, "message": "secret"}, "upstream_error", 502),
        ({"code": "server_error", "message": "secret"}, "upstream_error", 502),
        ({"code": 401, "message": "secret"}, "upstream_error", 502),
        ("secret", "upstream_error", 502),
        (7, "upstream_error", 502),
        (True, "upstream_error", 502),
    ],
)
def test_an_error_inside_a_stream_has_its_meaning_too(told: Json, code: str, status: int) -> None:
    """A vendor's own numbers beyond HTTP's mean nothing to anybody else."""
    error = told_in_stream(told)
    assert (error.code, error.http_status) == (code, status)
    assert "secret" not in error.message
