"""What clients are told of an upstream's refusals: one table, our words.

What a vendor says of the client's own input is passed on, scrubbed of credentials. Everything else
may be about the operator's account, and stays with us.

| the upstream says | category | status | code | again |
|---|---|---|---|---|
| 400, 413, 422 | INVALID_ARGUMENT | 400 | the vendor's, or `upstream_refused` | no |
| the context is too long (by code or words) | INVALID_ARGUMENT | 400 | `llm.context_length` | no |
| 401, 403, 407 | UPSTREAM_ERROR | 502 | `upstream_auth` | no |
| 402, or a spent quota | RATE_LIMITED | 429 | `insufficient_quota` | no |
| the model is missing | NOT_FOUND | 404 | `upstream_model_missing` | no |
| another 404 | UPSTREAM_ERROR | 502 | `upstream_model_missing` | no |
| 408, 504 | UPSTREAM_ERROR | 504 | `upstream_timeout` | yes |
| 429 | RATE_LIMITED | 429 | `rate_limit_exceeded` | yes |
| 502 | UNAVAILABLE | 503 | `upstream_unreachable` | yes |
| 503, 529 | UNAVAILABLE | 503 | `upstream_overloaded` | yes |
| 499 and other 5xx | UPSTREAM_ERROR | 502 | `upstream_error` | yes |
| anything else | UPSTREAM_ERROR | 502 | `upstream_refused` | no |
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from spindle_llm.providers.refusal_words import Subject, Told, told_as, told_in
from spindle_spi.errors import (
    GatewayError,
    InvalidArgument,
    NotFound,
    Origin,
    RateLimited,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_spi.secret import Secret
    from spindle_spi.types import Json

_MAX_MESSAGE = 1000
_CODE = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_CREDENTIAL = re.compile(
    r"(?i)\b(?:bearer\s+\S+|(?:sk|pk|rk|org|proj|key|spn)[-_][a-z0-9_*.-]{6,}|[a-z0-9+/_-]{40,}=*)"
)
_CLIENT_MISTAKES: Final = frozenset({400, 413, 422})
_CONTEXT_STATUSES: Final = frozenset({*_CLIENT_MISTAKES, 500})
"""Engines behind a server fail when the context is full, and the server says that it failed."""
_QUOTA_STATUSES: Final = frozenset({402, 403, 429})
_STATUS_OF: Final = {Subject.RATE: 429, Subject.OVERLOAD: 503, Subject.QUOTA: 402}
_MODEL_STATUSES: Final = frozenset({400, 404, 422})


def refusal_of(
    status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
) -> GatewayError:
    """Return the error for a refusal, whatever form its body has."""
    return classified(status, told_in(body), retry_after(headers), key)


def told_in_stream(error: Json) -> GatewayError:
    """Return the error that an upstream told inside a stream; its words stay with us."""
    told = told_as(error)
    subject = told.subject
    status = told.status if subject is None else _STATUS_OF.get(subject, told.status)

    if subject is Subject.CONTEXT:
        return _context_too_long(500, told, None)

    if status in (402, 408, 429, 503, 504, 529):
        return classified(status or 500, Told(code=told.code), None, None)

    return UpstreamError("The upstream failed while it answered.")


def classified(status: int, told: Told, wait: float | None, key: Secret | None) -> GatewayError:
    """Return the error of a status and what was told with it."""
    subject = told.subject

    if subject is Subject.CONTEXT and status in _CONTEXT_STATUSES:
        return _context_too_long(status, told, key)

    if status == 402 or (subject is Subject.QUOTA and status in _QUOTA_STATUSES):
        return _quota_spent()

    if subject is Subject.MODEL and status in _MODEL_STATUSES:
        return NotFound(
            "The upstream does not have this model.",
            code="upstream_model_missing",
            origin=Origin.UPSTREAM,
        )

    if status in _CLIENT_MISTAKES:
        return _client_mistake(told, key)

    return _by_status(status, wait)


def _by_status(status: int, wait: float | None) -> GatewayError:
    match status:
        case 401 | 403 | 407:
            return UpstreamError(
                "The upstream does not accept the gateway's credential.",
                code="upstream_auth",
                retryable=False,
            )
        case 404:
            return UpstreamError(
                "The upstream does not have this model.",
                code="upstream_model_missing",
                retryable=False,
            )
        case 408 | 504:
            return UpstreamTimeout("The upstream did not answer in time.", retry_after=wait)
        case 429:
            return RateLimited(
                "The upstream's rate limit is reached.", origin=Origin.UPSTREAM, retry_after=wait
            )
        case 502:
            return _unavailable("The upstream is not there.", "upstream_unreachable", wait)
        case 503 | 529:
            return _unavailable("The upstream is overloaded.", "upstream_overloaded", wait)
        case _ if status >= 500 or status == 499:
            return UpstreamError("The upstream failed.", retry_after=wait)
        case _:
            return UpstreamError(
                f"The upstream refused the request with status {status}.",
                code="upstream_refused",
                retryable=False,
            )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds an upstream asks to wait, from any of the forms it may say it in."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        said = headers.get(name)

        if said is None:
            continue

        try:
            return max(0.0, float(said) * unit)
        except ValueError:
            pass

        try:
            at = parsedate_to_datetime(said)
        except ValueError:
            continue

        return max(0.0, (_aware(at) - datetime.now(UTC)).total_seconds())

    return None


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _unavailable(message: str, code: str, wait: float | None) -> Unavailable:
    return Unavailable(message, code=code, origin=Origin.UPSTREAM, retry_after=wait)


def _quota_spent() -> RateLimited:
    return RateLimited(
        "The upstream's quota is exhausted.",
        code="insufficient_quota",
        origin=Origin.UPSTREAM,
        retryable=False,
    )


def _context_too_long(status: int, told: Told, key: Secret | None) -> InvalidArgument:
    is_shown = told.is_object and status in _CLIENT_MISTAKES
    return InvalidArgument(
        _scrubbed(told.message, key)
        if is_shown
        else "The request is longer than the context of the model.",
        code="llm.context_length",
        origin=Origin.UPSTREAM,
        param=_shown_param(told, key) or "messages",
    )


def _client_mistake(told: Told, key: Secret | None) -> InvalidArgument:
    if not told.is_object:
        return InvalidArgument(
            "The upstream says that the request is wrong.",
            code="upstream_refused",
            origin=Origin.UPSTREAM,
        )

    return InvalidArgument(
        _scrubbed(told.message, key),
        code=told.code if _CODE.fullmatch(told.code) else "upstream_refused",
        origin=Origin.UPSTREAM,
        param=_shown_param(told, key),
    )


def _shown_param(told: Told, key: Secret | None) -> str | None:
    return None if told.param is None else _scrubbed(told.param, key)


def _scrubbed(text: str, key: Secret | None) -> str:
    if key:
        text = text.replace(key.reveal(), "***")

    return _CREDENTIAL.sub("***", text[: 2 * _MAX_MESSAGE])[:_MAX_MESSAGE]
