"""What an upstream offers and is not shown to everybody: left out, or not approved yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle.api.definitions import DecisionBody
from spindle.api.documentation.shapes import (
    FLAG,
    IF_MATCH,
    MAYBE_TEXT,
    PAGE,
    TEXT,
    WHOLE,
    body_of,
    described,
    many,
    one_of,
    page_of,
    read,
    record,
    write,
)
from spindle.definition_review import Decision
from spindle.pinning import State

if TYPE_CHECKING:
    from spindle_spi.operation import OperationDoc
    from spindle_spi.types import JsonObject

_ONE: Final = "/admin/api/v1/gateways/{id}"
_CHANGE: Final[dict[str, JsonObject]] = {
    "kind": TEXT,
    "name": TEXT,
    "state": one_of(*State),
    "is_held": FLAG,
    "digest": TEXT,
    "approved_digest": MAYBE_TEXT,
}
_LEFT_OUT: Final = record("ShownLeftOut", kind=TEXT, name=TEXT, reason=TEXT, is_partial=FLAG)


def definitions() -> dict[str, OperationDoc]:
    """Return the operations of this area, by route."""
    changed = record("ShownDefinitionChange", **_CHANGE, diff=TEXT)
    decided = record(
        "DecidedChanges",
        decision=one_of(*Decision),
        items=many(record("DecidedChange", **_CHANGE)),
    )
    return {
        f"GET {_ONE}/quarantine": described(
            read(
                "List what a gateway's upstream offers and cannot be shown, with the reasons",
                page_of(_LEFT_OUT, total=WHOLE),
                query=PAGE,
                refusals=(404,),
            ),
            "As this process has read it. What is partial is withheld from some clients only.",
        ),
        f"GET {_ONE}/changes": described(
            read(
                "List the definitions a gateway's upstream changed since they were approved",
                page_of(changed, total=WHOLE),
                query=PAGE,
                refusals=(404,),
            ),
            "With what changed as a unified diff. What is held is absent for everybody.",
        ),
        f"POST {_ONE}/changes": described(
            write(
                "Approve or reject changed definitions of a gateway",
                decided,
                body_of(DecisionBody),
                parameters=(IF_MATCH,),
            ),
            "Those of `names`, or all there are. `If-Match` takes the tag of the list that was "
            "looked at.",
        ),
    }
