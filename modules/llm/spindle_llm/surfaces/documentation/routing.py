"""Route records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_spi.operation import OperationDoc, json_response

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_TEXT: Final[JsonObject] = {"type": "string"}
_MAYBE_TEXT: Final[JsonObject] = {"type": ["string", "null"]}
_NUMBER: Final[JsonObject] = {"type": "number"}
_MAYBE_NUMBER: Final[JsonObject] = {"type": ["number", "null"]}


def _record(title: str, **properties: JsonObject) -> JsonObject:
    return {
        "title": title,
        "type": "object",
        "properties": {**properties},
        "required": [*properties],
    }


_ROUTE: Final = _record(
    "RouteRecord",
    id=_TEXT,
    request_id=_TEXT,
    created_at=_NUMBER,
    status=_TEXT,
    error_code=_MAYBE_TEXT,
    asked=_MAYBE_TEXT,
    task_type=_MAYBE_TEXT,
    resolved_by=_TEXT,
    model=_TEXT,
    candidates={"type": "array", "items": _record("RouteCandidate", model=_TEXT, provider=_TEXT)},
    exclusions={
        "type": "array",
        "items": _record("RouteExclusion", model=_TEXT, reason=_TEXT, wait_ms=_MAYBE_NUMBER),
    },
    attempts={
        "type": "array",
        "items": _record(
            "RouteAttempt",
            provider=_TEXT,
            model=_TEXT,
            outcome=_TEXT,
            status={"type": ["integer", "null"]},
            ms=_NUMBER,
            wait_ms=_NUMBER,
        ),
    },
    served_by=_MAYBE_TEXT,
    decision_ms=_NUMBER,
)


def route_record() -> OperationDoc:
    """Return what is said of `GET /llm/routes/{id}`."""
    return OperationDoc(
        summary="Show why a call was answered by whom",
        description="The id is in the header `x-spindle-route` of the call's answer.",
        responses={"200": json_response("The route of a call of one's own.", _ROUTE)},
        refusals=(404,),
    )
