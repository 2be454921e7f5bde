"""A request that may take several rounds: what an upstream asks is carried to the client and back.

In the current protocol a result may ask for input, and the client sends the request again with it.
A client of the protocol before that is asked at once, over its session, and the request is sent
again by us.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mcp.shared.exceptions import MCPError

from spindle_mcp.capabilities import required_for
from spindle_mcp.surface.dialogue.consent import asked_for, without_answer
from spindle_mcp.surface.dialogue.questions import (
    check_capabilities,
    for_round,
    for_session,
    read_question,
)
from spindle_mcp.upstream.credentials.faults import AuthorizationRequired
from spindle_mcp.upstream.faults import LinksRequired, garbled
from spindle_spi.errors import Origin, UpstreamError
from spindle_spi.invocation import InputRequired

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_mcp.surface.walks.judge import Judge
    from spindle_mcp.upstream.connections.base import Peer, Request
    from spindle_mcp.upstream.fleet import Fleet
    from spindle_spi.types import JsonObject

MAX_ROUNDS: Final = 16
"""How often one request of an older client is sent to an upstream that goes on asking."""
MAX_QUESTIONS: Final = 32
"""Most questions in one round."""


def input_required(answer: JsonObject, gateway: str, peer: Peer | None) -> InputRequired | None:
    """Return what an upstream's result asks for; None when it is a whole one.

    Raises:
        CapabilityRequired: It asks for what the client did not say it can do.
        UpstreamError: It is not what the protocol says.
    """
    kind = answer.get("resultType", "complete")

    if kind == "complete":
        return None

    requests, state = answer.get("inputRequests") or {}, answer.get("requestState")

    if kind != "input_required" or not isinstance(requests, dict):
        raise garbled(gateway, "something that is no result")

    if not isinstance(state, str | None) or (not requests and state is None):
        raise garbled(gateway, "a request for no input")

    if len(requests) > MAX_QUESTIONS:
        raise garbled(gateway, "too many questions")

    for question in requests.values():
        method, params = read_question(question, gateway)
        required = required_for(method, params)

        if required is None:
            raise garbled(gateway, "a question that the protocol does not know")

        check_capabilities({} if peer is None else peer.capabilities, required)

    return InputRequired(requests=requests, state=state)


async def answered(asked: InputRequired, gateway: str, peer: Peer) -> JsonObject:
    """Ask a client that can be asked at once; returns `inputResponses` and `requestState`.

    Raises:
        GatewayError: The client could not be asked, or refused.
    """
    responses: JsonObject = {}

    for key, question in asked.requests.items():
        method, params = read_question(question, gateway)

        try:
            responses[key] = await peer.ask(method, for_session(method, params))
        except MCPError as exc:
            raise UpstreamError(
                "The client did not answer what the upstream asked.",
                code="mcp.input.refused",
                origin=Origin.CLIENT,
                retryable=False,
            ) from exc

    again: JsonObject = {}

    if responses:
        again["inputResponses"] = responses

    if asked.state is not None:
        again["requestState"] = asked.state

    return again


class Rounds:
    """Sends requests to upstreams, in as many rounds as they take."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def request(
        self, gateway: str, request: Request, judge: Judge | None = None
    ) -> JsonObject | InputRequired:
        """Carry out a request; `InputRequired` is what the client has to answer first.

        Its peer is the one that plugins stand before, so what it is asked itself is judged.

        Raises:
            GatewayError: The upstream failed, or asks for what this client cannot give.
        """
        request, was_asked = without_answer(request)
        peer = request.peer

        async def send(again: JsonObject) -> JsonObject:
            params = {**request.params, **again} if again else request.params
            return await self._fleet.request(gateway, replace(request, params=params))

        try:
            found = await asking(send, gateway, peer)
        except LinksRequired as exc:
            links = exc.links if judge is None else [await judge.said(link) for link in exc.links]

            if peer is None or peer.is_session:
                raise LinksRequired(gateway, links) from exc

            return as_round(links, peer)
        except AuthorizationRequired as exc:
            if was_asked:
                raise

            return asked_for(exc, gateway, request)

        if isinstance(found, InputRequired) and judge is not None:
            return replace(found, requests=await _judged(found.requests, gateway, judge))

        return found


def as_round(links: list[JsonObject], peer: Peer) -> InputRequired:
    """Return the pages an older upstream wants visited as questions of the current protocol.

    Raises:
        CapabilityRequired: The client did not say that it can show links.
    """
    check_capabilities(peer.capabilities, {"elicitation": {"url": {}}})
    questions: JsonObject = {}

    for number, link in enumerate(links[:MAX_QUESTIONS], start=1):
        params = for_round("elicitation/create", link)
        questions[f"link{number}"] = {"method": "elicitation/create", "params": params}

    return InputRequired(requests=questions)


async def asking(
    send: Callable[[JsonObject], Awaitable[JsonObject]], gateway: str, peer: Peer | None
) -> JsonObject | InputRequired:
    """Send until the answer is whole, as far as the peer can be asked at once.

    Raises:
        GatewayError: Sending failed, or the upstream asks too much.
    """
    again: JsonObject = {}

    for _ in range(MAX_ROUNDS):
        answer = await send(again)
        asked = input_required(answer, gateway, peer)

        if asked is None:
            return answer

        if peer is None or not peer.is_session:
            return asked

        again = await answered(asked, gateway, peer)

    raise UpstreamError(
        f"The gateway {gateway!r} goes on asking.", code="mcp.input.rounds", retryable=False
    )


async def _judged(requests: JsonObject, gateway: str, judge: Judge) -> JsonObject:
    judged: JsonObject = {}

    for key, question in requests.items():
        method, params = read_question(question, gateway)
        judged[key] = {"method": method, "params": await judge.question(method, params)}

    return judged
