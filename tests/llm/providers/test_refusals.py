"""What clients are told of an upstream's refusals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.scripts import dump
from spindle_llm.providers.refusals import refusal_of, retry_after
from spindle_spi.errors import Origin
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
        (402, 502, "upstream_refused", False),
        (403, 502, "upstream_auth", False),
        (404, 502, "upstream_model_missing", False),
        (413, 400, "bad_thing", False),
        (422, 400, "bad_thing", False),
        (429, 429, "rate_limit_exceeded", True),
        (500, 502, "upstream_error", True),
        (529, 502, "upstream_error", True),
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
        "context_length_exceeded",
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
    [b"", b"<html>no</html>", b"[]", b'{"error":"no"}', b'{"detail":"no"}', b"\xff", b"[" * 9999],
)
def test_other_words_of_an_upstream_stay_with_us(body: bytes) -> None:
    """Only a well-formed error object is passed on."""
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
