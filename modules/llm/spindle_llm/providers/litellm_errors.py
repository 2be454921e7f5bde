"""What LiteLLM raises, as the answer of an upstream that the table of refusals reads."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from spindle_llm.relay.wire_json import UNREADABLE, encode
from spindle_spi.errors import (
    FailedPrecondition,
    GatewayError,
    Origin,
    Unsupported,
    UpstreamError,
    UpstreamTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spindle_llm.providers.litellm_package import Package
    from spindle_spi.types import Json, JsonObject

_PREFIX: Final = re.compile(r"(?:(?:litellm\.)?[A-Z]\w*(?:Error|Exception)(?:: | - ))+")
"""Names of classes before the upstream's words: `litellm.RateLimitError: OpenAIException - `."""
_NAMED: Final = re.compile(r"parameters: \[([^\]]*)\]|Setting (\w+) ")
_CODES: Final = {
    "ContextWindowExceededError": "context_length_exceeded",
    "ContentPolicyViolationError": "content_filter",
}
"""What it has found out by the upstream's words, by the names of its classes."""
_WAITS: Final = ("retry-after", "retry-after-ms")


def no_provider() -> FailedPrecondition:
    """Return the refusal of a model whose record does not name it as LiteLLM does."""
    return FailedPrecondition(
        "The model's upstream name is none of LiteLLM's: it has to be 'provider/model'.",
        code="llm.model.upstream_name",
        origin=Origin.MODULE,
    )


def failure_of(exc: Exception, package: Package) -> GatewayError | None:
    """Return what a failure is when no upstream has answered; None when one has."""
    causes = tuple(_causes(exc))

    if isinstance(exc, package.unsupported):
        named = _NAMED.search(str(exc))
        param = None if named is None else (named[1] or named[2] or "").split(",")[0].strip("' ")
        shown = f" {param!r}" if param else " a parameter of the request"
        return Unsupported(
            f"The provider of this model does not support{shown}.",
            code="llm.parameter.unsupported",
            param=param or None,
        )

    if any(isinstance(cause, package.unreached) for cause in causes):
        return UpstreamError(
            "The upstream cannot be reached.", code="upstream_unreachable", http_status=503
        )

    if _status(exc) == 408 or any("Timeout" in type(cause).__name__ for cause in causes):
        return UpstreamTimeout("The upstream did not answer in time.")

    if _answer(causes) is None and any(isinstance(cause, package.broken) for cause in causes):
        return UpstreamError("The upstream cut its answer.", code="upstream_cut")

    return None


def refusal_in(exc: Exception) -> tuple[int, Mapping[str, str], bytes]:
    """Return status, headers and body of the answer that made it raise."""
    answer = _answer(tuple(_causes(exc)))
    headers: dict[str, str] = {"content-type": "application/json"}

    if answer is not None:
        headers |= {name: answer.headers[name] for name in _WAITS if name in answer.headers}

    return _status(exc), headers, encode({"error": _told(exc)})


def event_of(exc: Exception) -> bytes:
    """Return the event that tells of a failure inside a stream; without the upstream's words."""
    code: Json = _CODES.get(type(_original(exc)).__name__) or _status(exc)
    return b"data: " + encode({"error": {"message": "", "code": code}}) + b"\n\n"


def _told(exc: Exception) -> JsonObject:
    found: Json = getattr(exc, "body", None)
    error = found if isinstance(found, dict) else _read(exc)
    code = _CODES.get(type(exc).__name__)
    return error if code is None else {**error, "code": code}


def _read(exc: Exception) -> JsonObject:
    """Return an error read from the text of an exception: words, or an object as it was sent."""
    words = _PREFIX.sub("", str(getattr(exc, "message", "")), count=1)

    if words.startswith(("b'", 'b"')):
        try:
            words = ast.literal_eval(words).decode(errors="replace")
        except (ValueError, SyntaxError):
            return {}

    try:
        value: Json = msgspec.json.decode(words)
    except UNREADABLE:
        return {"message": words}

    error = value.get("error", value) if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


def _status(exc: Exception) -> int:
    """Return the status it has; some upstreams' own codes stand in its place."""
    status = getattr(_original(exc), "status_code", None)
    return status if isinstance(status, int) and 400 <= status < 600 else 500


def _original(exc: BaseException) -> BaseException:
    """Return what it wraps in an order to ask somebody else, which is for us to give."""
    original = getattr(exc, "original_exception", None)
    return original if isinstance(original, BaseException) else exc


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Yield it and what it came of, within bounds."""
    cause: BaseException | None = _original(exc)

    for _ in range(16):
        if cause is None:
            return

        yield cause
        cause = cause.__cause__ or cause.__context__


def _answer(causes: tuple[BaseException, ...]) -> Any:
    """Return the HTTP answer at the root of it; LiteLLM makes up some, which have no content."""
    for cause in causes:
        if type(cause).__name__ == "HTTPStatusError":
            return getattr(cause, "response", None)

    return None
