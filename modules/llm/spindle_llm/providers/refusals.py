"""What clients are told of an upstream's refusals: one table, our words.

What a vendor says of the client's own input is passed on, scrubbed of credentials. Everything else
may be about the operator's account, and stays with us.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec

from spindle_llm.relay.wire_json import UNREADABLE
from spindle_spi.errors import GatewayError, InvalidArgument, Origin, RateLimited, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_spi.secret import Secret
    from spindle_spi.types import Json

_MAX_MESSAGE = 1000
_CODE = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_CREDENTIAL = re.compile(
    r"(?i)\b(?:bearer\s+\S+|(?:sk|pk|rk|org|proj|key|spn)[-_][a-z0-9_*.-]{6,}|[a-z0-9+/_-]{40,}=*)"
)
_OUT_OF_MONEY = frozenset({"insufficient_quota", "billing_hard_limit_reached", "budget_exceeded"})
_CLIENT_MISTAKES = frozenset({400, 413, 422})


def refusal_of(
    status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
) -> GatewayError:
    """Return the error for an OpenAI-form refusal."""
    error = _error_object(body)
    code = error.get("code")

    if status in _CLIENT_MISTAKES:
        return _client_mistake(error, key)

    if status == 429:
        wait = retry_after(headers)

        if code in _OUT_OF_MONEY:
            return RateLimited(
                "The upstream's quota is exhausted.",
                code="insufficient_quota",
                origin=Origin.UPSTREAM,
                retryable=False,
            )

        return RateLimited(
            "The upstream's rate limit is reached.", origin=Origin.UPSTREAM, retry_after=wait
        )

    if status in (401, 403):
        return UpstreamError(
            "The upstream does not accept the gateway's credential.",
            code="upstream_auth",
            retryable=False,
        )

    if status == 404:
        return UpstreamError(
            "The upstream does not have this model.",
            code="upstream_model_missing",
            retryable=False,
        )

    if status >= 500:
        return UpstreamError("The upstream failed.", retry_after=retry_after(headers))

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


def _client_mistake(error: Mapping[str, Json], key: Secret | None) -> GatewayError:
    message, code, param = error.get("message"), error.get("code"), error.get("param")

    if not isinstance(message, str):
        return InvalidArgument(
            "The upstream says that the request is wrong.",
            code="upstream_refused",
            origin=Origin.UPSTREAM,
        )

    return InvalidArgument(
        _scrubbed(message, key),
        code=code if isinstance(code, str) and _CODE.fullmatch(code) else "upstream_refused",
        origin=Origin.UPSTREAM,
        param=_scrubbed(param, key) if isinstance(param, str) else None,
    )


def _scrubbed(text: str, key: Secret | None) -> str:
    if key:
        text = text.replace(key.reveal(), "***")

    return _CREDENTIAL.sub("***", text[: 2 * _MAX_MESSAGE])[:_MAX_MESSAGE]


def _error_object(body: bytes) -> dict[str, Json]:
    try:
        value: Json = msgspec.json.decode(body)
    except UNREADABLE:
        return {}

    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}
