"""What an upstream may ask a client in the middle of a request, in the words of either era."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from spindle_mcp.capabilities import lacks
from spindle_mcp.upstream.faults import CapabilityRequired, garbled

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_ELICIT: Final = "elicitation/create"
_LINK_ID: Final = "elicitationId"


def read_question(question: Json, gateway: str) -> tuple[str, JsonObject]:
    """Return method and parameters of one entry of `inputRequests`.

    Raises:
        UpstreamError: It is none.
    """
    method = question.get("method") if isinstance(question, dict) else None
    params = question.get("params", {}) if isinstance(question, dict) else None

    if not isinstance(method, str) or not isinstance(params, dict):
        raise garbled(gateway, "a question that is none")

    return method, params


def check_capabilities(capabilities: JsonObject, required: JsonObject) -> None:
    """Check that a client declared what a question needs.

    Raises:
        CapabilityRequired: It did not.
    """
    if lacks(capabilities, required):
        raise CapabilityRequired("The upstream needs a capability of the client.", required)


def for_session(method: str, params: JsonObject) -> JsonObject:
    """Return the parameters as a client before 2026 takes them: a link has an id there."""
    if method == _ELICIT and params.get("mode") == "url" and _LINK_ID not in params:
        return {**params, _LINK_ID: secrets.token_urlsafe(16)}

    return params


def for_round(method: str, params: JsonObject) -> JsonObject:
    """Return the parameters as a result that asks for input holds them."""
    left_out = {"_meta", "task", *((_LINK_ID,) if method == _ELICIT else ())}
    return {name: value for name, value in params.items() if name not in left_out}
