"""What clients are told of Anthropic's refusals, by the type of the error and by its words.

A spent quota comes as a wrong request there, and so does a prompt that is too long: only the words
tell them from the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from spindle_llm.providers.refusals import refusal_of, retry_after
from spindle_llm.relay.wire_json import UNREADABLE
from spindle_spi.errors import (
    GatewayError,
    InvalidArgument,
    Origin,
    PayloadTooLarge,
    RateLimited,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject

_STATUS_OF: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_SPENT: Final = re.compile(r"(?i)usage limit|credit balance|spend(?:ing)? limit")
_TOO_LONG: Final = re.compile(r"(?i)prompt is too long|exceeds? (?:the )?context|context window")
_PARAM: Final = re.compile(r"([a-z][a-z0-9_.]*): ")


def anthropic_refusal(
    status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
) -> GatewayError:
    """Return the error for a refusal."""
    error = _error_object(body)
    said = error.get("message")
    message = said if isinstance(said, str) else ""

    if status in (400, 402, 403, 429) and _SPENT.search(message):
        return _quota_spent(retry_after(headers))

    match status:
        case 402:
            return _quota_spent(None)
        case 413:
            return PayloadTooLarge(
                "The upstream takes no request this big.", origin=Origin.UPSTREAM
            )
        case 400 | 422:
            return _client_mistake(status, headers, message, key)
        case 408 | 504:
            return UpstreamTimeout("The upstream did not answer in time.")
        case 503 | 529:
            return _overloaded(retry_after(headers))
        case _:
            return refusal_of(status, headers, body, key)


def told_error(error: JsonObject) -> GatewayError:
    """Return the error that an upstream told in a stream; its words stay with us."""
    match _STATUS_OF.get(str(error.get("type"))):
        case 529:
            return _overloaded(None)
        case 429:
            return RateLimited("The upstream's rate limit is reached.", origin=Origin.UPSTREAM)
        case 504:
            return UpstreamTimeout("The upstream did not answer in time.")
        case _:
            return UpstreamError("The upstream failed while it answered.")


def _quota_spent(wait: float | None) -> RateLimited:
    return RateLimited(
        "The upstream's quota is exhausted.",
        code="insufficient_quota",
        origin=Origin.UPSTREAM,
        retryable=False,
        retry_after=wait,
    )


def _overloaded(wait: float | None) -> Unavailable:
    return Unavailable(
        "The upstream is overloaded.",
        code="upstream_overloaded",
        origin=Origin.UPSTREAM,
        retry_after=wait,
    )


def _client_mistake(
    status: int, headers: Mapping[str, str], message: str, key: Secret | None
) -> GatewayError:
    """Return the vendor's words about the client's own input, scrubbed as all of them are."""
    match = _PARAM.match(message)
    told: JsonObject = {"message": message} if message else {}

    if match is not None:
        told["param"] = match[1]

    if _TOO_LONG.search(message):
        told["code"] = "llm.context_length"

    error = refusal_of(status, headers, msgspec.json.encode({"error": told}), key)

    if error.code != "llm.context_length":
        return error

    return InvalidArgument(error.message, code="llm.context_length", origin=Origin.UPSTREAM)


def _error_object(body: bytes) -> Mapping[str, Json]:
    try:
        value: Json = msgspec.json.decode(body)
    except UNREADABLE:
        return {}

    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}
