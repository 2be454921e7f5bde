"""Error shapes: how one surface writes an error, as data.

The core answers for a module (401, 403, 404, 413, 429, 503) in these bytes even when the module
is gone, and surfaces use the same table for their own errors: each surface maps errors once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from string import Template

from spindle_spi.errors import Category, GatewayError, base_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCase:
    """How one category looks on one surface."""

    status: int
    body: str
    """`string.Template` text; each `$name` is replaced by a JSON value.

    Names: message, code, param, category, origin, retryable, trace_id.
    """
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedError:
    """An error as bytes."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorShape:
    """A surface's whole error table."""

    name: str
    cases: Mapping[Category, ErrorCase]
    by_status: Mapping[str, ErrorCase] = field(default_factory=dict[str, ErrorCase])
    """Cases of statuses that look different from the rest of their category."""
    codes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Our stable code to the surface's own, where the surface has one."""
    content_type: str = "application/json"
    request_id_header: str = "x-request-id"

    def status(self, error: GatewayError) -> int:
        """Return the HTTP status: the error's own if it has one, else its category's here."""
        if error.http_status != base_of(error.category).default_status:
            return error.http_status

        return self.cases[error.category].status

    def body(self, error: GatewayError, trace_id: str) -> str:
        """Return the error's body alone, for surfaces that send it inside a stream."""
        values: dict[str, str | bool | None] = {
            "message": error.message,
            "code": self.codes.get(error.code, error.code),
            "param": error.param,
            "category": error.category.value,
            "origin": error.origin.value,
            "retryable": error.retryable,
            "trace_id": trace_id,
        }
        template = Template(self._case(error).body)
        return template.substitute({name: json.dumps(value) for name, value in values.items()})

    def render(self, error: GatewayError, trace_id: str) -> RenderedError:
        """Return the whole HTTP answer for an error."""
        status = self.status(error)
        headers = (
            ("content-type", self.content_type),
            (self.request_id_header, trace_id),
            ("x-spindle-origin", error.origin.value),
            *self._case(error).headers,
            *_retry_headers(error, status),
        )
        return RenderedError(
            status=status, headers=headers, body=self.body(error, trace_id).encode()
        )

    def _case(self, error: GatewayError) -> ErrorCase:
        return self.by_status.get(str(self.status(error)), self.cases[error.category])


_LONGEST_WAIT = 120.0
"""Seconds; clients do not wait longer, and do not say so."""


def _retry_headers(error: GatewayError, status: int) -> Iterator[tuple[str, str]]:
    wait = error.retry_after

    if wait is not None:
        yield "retry-after", str(max(0, math.ceil(wait)))
        yield "retry-after-ms", str(max(0, math.ceil(wait * 1000)))

    # Clients retry these on their own; tell them when that cannot help.
    is_retried = status in (408, 409, 429) or status >= 500

    if is_retried and (not error.retryable or (wait is not None and wait > _LONGEST_WAIT)):
        yield "x-should-retry", "false"


_BEARER = (("www-authenticate", 'Bearer realm="spindle"'),)


def _cases(template: str, types: Mapping[Category, str]) -> dict[Category, ErrorCase]:
    """Return one case a category; `TYPE` in the template stands for the surface's own word."""
    return {
        category: ErrorCase(
            status=base_of(category).default_status,
            body=template.replace("TYPE", types[category]),
            headers=_BEARER if category is Category.UNAUTHENTICATED else (),
        )
        for category in Category
    }


def _by_status(template: str, types: Mapping[int, str]) -> dict[str, ErrorCase]:
    return {
        str(status): ErrorCase(status=status, body=template.replace("TYPE", name))
        for status, name in types.items()
    }


_OPENAI_TYPES: dict[Category, str] = {
    Category.INVALID_ARGUMENT: "invalid_request_error",
    Category.UNAUTHENTICATED: "authentication_error",
    Category.PERMISSION_DENIED: "permission_error",
    Category.NOT_FOUND: "invalid_request_error",
    Category.CONFLICT: "conflict",
    Category.FAILED_PRECONDITION: "invalid_request_error",
    Category.RATE_LIMITED: "rate_limit_error",
    Category.UNSUPPORTED: "invalid_request_error",
    Category.UNAVAILABLE: "server_error",
    Category.UPSTREAM_ERROR: "server_error",
    Category.INTERNAL: "server_error",
}

_ANTHROPIC_TYPES: dict[Category, str] = {
    Category.INVALID_ARGUMENT: "invalid_request_error",
    Category.UNAUTHENTICATED: "authentication_error",
    Category.PERMISSION_DENIED: "permission_error",
    Category.NOT_FOUND: "not_found_error",
    Category.CONFLICT: "invalid_request_error",
    Category.FAILED_PRECONDITION: "invalid_request_error",
    Category.RATE_LIMITED: "rate_limit_error",
    Category.UNSUPPORTED: "invalid_request_error",
    Category.UNAVAILABLE: "overloaded_error",
    Category.UPSTREAM_ERROR: "api_error",
    Category.INTERNAL: "api_error",
}

_JSONRPC_CODES: dict[Category, str] = {
    Category.INVALID_ARGUMENT: "-32602",
    Category.UNAUTHENTICATED: "-32001",
    Category.PERMISSION_DENIED: "-32003",
    Category.NOT_FOUND: "-32602",
    Category.CONFLICT: "-32009",
    Category.FAILED_PRECONDITION: "-32010",
    Category.RATE_LIMITED: "-32011",
    Category.UNSUPPORTED: "-32601",
    Category.UNAVAILABLE: "-32012",
    Category.UPSTREAM_ERROR: "-32013",
    Category.INTERNAL: "-32603",
}

OPENAI_CODES: dict[str, str] = {
    "unauthenticated": "invalid_api_key",
    "llm.model.not_found": "model_not_found",
    "core.model.not_found": "model_not_found",
    "llm.request.invalid_json": "invalid_json",
    "llm.context_length": "context_length_exceeded",
    "llm.parameter.unsupported": "unsupported_parameter",
    "budget_exceeded": "insufficient_quota",
}

_OPENAI_BODY = '{"error":{"message":$message,"type":"TYPE","param":$param,"code":$code}}'

OPENAI = ErrorShape(
    name="openai",
    cases=_cases(_OPENAI_BODY, _OPENAI_TYPES),
    by_status=_by_status(_OPENAI_BODY, {408: "timeout_error", 413: "request_too_large"}),
    codes=OPENAI_CODES,
)
"""OpenAI's error object."""

_ANTHROPIC_BODY = (
    '{"type":"error","error":{"type":"TYPE","message":$message},"request_id":$trace_id}'
)

ANTHROPIC = ErrorShape(
    name="anthropic",
    cases=_cases(_ANTHROPIC_BODY, _ANTHROPIC_TYPES),
    by_status=_by_status(_ANTHROPIC_BODY, {413: "request_too_large", 504: "timeout_error"}),
    request_id_header="request-id",
)
"""Anthropic's error object."""

JSON_RPC = ErrorShape(
    name="json-rpc",
    cases=_cases(
        '{"jsonrpc":"2.0","id":null,"error":{"code":TYPE,"message":$message,'
        '"data":{"code":$code,"origin":$origin,"traceId":$trace_id}}}',
        _JSONRPC_CODES,
    ),
)
"""A JSON-RPC error with id null, and the Bearer challenge."""

ENVELOPE = ErrorShape(
    name="envelope",
    cases=_cases(
        '{"error":{"category":$category,"code":$code,"message":$message,"origin":$origin,'
        '"retryable":$retryable,"traceId":$trace_id}}',
        dict.fromkeys(Category, ""),
    ),
)
"""Our own envelope."""
