"""A person's consent, asked for by a link where their client can show one.

Asked once for a call: whoever says no, or has not been there yet, is told the address instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spindle_mcp.capabilities import lacks
from spindle_mcp.surface.dialogue.questions import for_session
from spindle_mcp.upstream.faults import LinksRequired
from spindle_spi.invocation import InputRequired

if TYPE_CHECKING:
    from spindle_mcp.upstream.connections.base import Request
    from spindle_mcp.upstream.credentials.faults import AuthorizationRequired
    from spindle_spi.types import JsonObject

CONSENT: Final = "spindle/consent"
"""What the question is called; upstreams never hear of it."""
_ELICIT: Final = "elicitation/create"
_ANSWERS: Final = "inputResponses"
_LINKS: Final[JsonObject] = {"elicitation": {"url": {}}}


def without_answer(request: Request) -> tuple[Request, bool]:
    """Return a request without the answer to our own question, and whether there was one."""
    answers = request.params.get(_ANSWERS)

    if not isinstance(answers, dict) or CONSENT not in answers:
        return request, False

    others = {key: answer for key, answer in answers.items() if key != CONSENT}
    params = {key: value for key, value in request.params.items() if key != _ANSWERS}
    return replace(request, params={**params, _ANSWERS: others} if others else params), True


def asked_for(failure: AuthorizationRequired, gateway: str, request: Request) -> InputRequired:
    """Return the question for a client of the current protocol.

    Raises:
        LinksRequired: The client is of the protocol before, which has an error for it.
        AuthorizationRequired: The client can show no links, or answers something else just now.
    """
    peer = request.peer
    is_later_round = _ANSWERS in request.params or "requestState" in request.params

    if peer is None or is_later_round or lacks(peer.capabilities, _LINKS):
        raise failure

    link: JsonObject = {"mode": "url", "message": f"{failure.need}.", "url": failure.url}

    if peer.is_session:
        links = [for_session(_ELICIT, link)]
        raise LinksRequired(gateway, links, message=failure.message, code=failure.code)

    return InputRequired(requests={CONSENT: {"method": _ELICIT, "params": link}})
