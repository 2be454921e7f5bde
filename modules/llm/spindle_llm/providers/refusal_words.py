"""What an upstream's error is about, by its code and by its words, in whatever form it comes.

OpenAI's object, a text under `error`, `message` or `detail`, a number for a code, a plain text, a
page of HTML, nothing. The words decide here, and go no further.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from spindle_llm.relay.wire_json import UNREADABLE

if TYPE_CHECKING:
    from spindle_spi.types import Json

_MOST_LOOKED_AT: Final = 4000
"""Characters of a message in which words are looked for."""


class Subject(StrEnum):
    """What an error may be about beside what its status says."""

    CONTEXT = "context"
    """The request is longer than the model's context."""
    QUOTA = "quota"
    """Nothing is left to spend: waiting does not help."""
    MODEL = "model"
    """The model is not there."""
    FILTER = "filter"
    """The request may not be answered."""
    RATE = "rate"
    OVERLOAD = "overload"


_CODES: Final = {
    "context_length_exceeded": Subject.CONTEXT,
    "context_window_exceeded": Subject.CONTEXT,
    "exceed_context_size_error": Subject.CONTEXT,
    "insufficient_quota": Subject.QUOTA,
    "billing_hard_limit_reached": Subject.QUOTA,
    "billing_not_active": Subject.QUOTA,
    "budget_exceeded": Subject.QUOTA,
    "insufficient_balance": Subject.QUOTA,
    "model_not_found": Subject.MODEL,
    "deploymentnotfound": Subject.MODEL,
    "invalid_model": Subject.MODEL,
    "content_filter": Subject.FILTER,
    "content_policy_violation": Subject.FILTER,
    "rate_limit_exceeded": Subject.RATE,
    "rate_limit_error": Subject.RATE,
    "too_many_requests": Subject.RATE,
    "overloaded_error": Subject.OVERLOAD,
    "service_unavailable": Subject.OVERLOAD,
    "engine_overloaded_error": Subject.OVERLOAD,
}
_WORDS: Final = (
    (
        Subject.CONTEXT,
        re.compile(
            r"(?i)maximum context|context[ _](?:length|window|size)|available context"
            r"|(?:prompt|input) is too long|keep the first \d+ tokens|too many tokens in"
            r"|exceeds? (?:the )?(?:model'?s? )?(?:maximum )?context"
        ),
    ),
    (
        Subject.QUOTA,
        re.compile(
            r"(?i)insufficient (?:quota|credit|balance|funds)|exceeded your current quota"
            r"|(?:credit|account) balance|usage limit|spend(?:ing)? limit|out of credits"
            r"|payment required"
        ),
    ),
    (
        Subject.MODEL,
        re.compile(
            r"(?i)\bmodel\b.{0,200}?(?:not found|does not exist|has not been loaded|not available"
            r"|is not a valid)|(?:cannot find|no such|unknown|invalid|not a valid) model"
            r"|deployment.{0,60}?does not exist|no running session found for model"
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An error as its upstream told it."""

    message: str = ""
    code: str = ""
    """A word; a number is none."""
    status: int | None = None
    """An HTTP status that the error itself names."""
    param: str | None = None
    is_object: bool = False
    """It came as JSON with a member for it, as vendors write; else a proxy may have written it."""

    @property
    def subject(self) -> Subject | None:
        """What it is about; None when neither code nor words tell."""
        found = _CODES.get(self.code.lower())

        if found is not None:
            return found

        text = self.message[:_MOST_LOOKED_AT]
        return next((subject for subject, pattern in _WORDS if pattern.search(text)), None)


def told_in(body: bytes) -> Told:
    """Return the error that a refusal's body tells."""
    try:
        value: Json = msgspec.json.decode(body)
    except UNREADABLE:
        text = body[:_MOST_LOOKED_AT].decode(errors="replace")
        return Told(message="" if text.lstrip().startswith("<") else text)

    if isinstance(value, list) and len(value) == 1:
        # Google's form of OpenAI's API wraps its error in a list.
        value = value[0]

    if isinstance(value, str):
        return Told(message=value)

    if not isinstance(value, dict):
        return Told()

    for name in ("error", "message", "detail"):
        if value.get(name):
            return told_as(value[name])

    return Told()


def told_as(error: Json) -> Told:
    """Return the error that a value stands for, one that stood under `error`."""
    if isinstance(error, str):
        return Told(message=error, is_object=True)

    if not isinstance(error, dict):
        return Told()

    message, code, kind = error.get("message"), error.get("code"), error.get("type")
    param = error.get("param")
    word = code if isinstance(code, str) and not code.isdigit() else ""

    if not word or (word.lower() not in _CODES and isinstance(kind, str) and kind in _CODES):
        word = kind if isinstance(kind, str) and kind.lower() in _CODES else word

    return Told(
        message=message if isinstance(message, str) else "",
        code=word,
        status=_status(code),
        param=param if isinstance(param, str) else None,
        is_object=isinstance(message, str),
    )


def _status(code: Json) -> int | None:
    """Return a code that is an HTTP status; vendors have numbers of their own beyond those."""
    if isinstance(code, str) and code.isdigit() and len(code) == 3:
        code = int(code)

    is_status = isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600
    return code if isinstance(code, int) and is_status else None
