"""POST /v1/messages: Anthropic's surface over every provider, whole messages and streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.surfaces.chat_parsed import carry_answer, carry_stream
from spindle_llm.surfaces.messages.counting import TokenCounts
from spindle_llm.surfaces.messages.form import MessagesForm
from spindle_llm.surfaces.messages.raw import passes_through, relay_answer, relay_stream
from spindle_llm.surfaces.messages.request import MessageRequest, edition_of
from spindle_llm.surfaces.serving import serve_chat
from spindle_spi.ingress import IngressRoute
from spindle_spi.shapes import ANTHROPIC

if TYPE_CHECKING:
    from spindle_llm.runtime import State
    from spindle_llm.surfaces.exchange import Exchange
    from spindle_spi.ingress import Call
    from spindle_spi.types import Receive, Scope, Send


class Messages:
    """The handler of the route."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Judge the request, have it admitted, answer it."""
        asked = edition_of(scope)

        def parse(body: bytes) -> tuple[MessageRequest, MessagesForm]:
            return MessageRequest(body, edition=asked), MessagesForm(len(body))

        await serve_chat(
            self._state,
            (receive, send),
            call,
            ANTHROPIC,
            parse,
            _respond,
            headers=scope["headers"],
        )


def message_routes(state: State) -> tuple[IngressRoute, ...]:
    """Return the routes of the surface."""
    return (
        IngressRoute(
            method="POST",
            path="/v1/messages",
            permission="llm.invoke",
            handler=Messages(state),
            errors=ANTHROPIC,
        ),
        IngressRoute(
            method="POST",
            path="/v1/messages/count_tokens",
            permission="llm.invoke",
            handler=TokenCounts(state),
            errors=ANTHROPIC,
        ),
    )


async def _respond(exchange: Exchange, request: MessageRequest) -> None:
    if not passes_through(exchange, request):
        request.parsed()
        exchange.form.dropped = request.lost
        await (carry_stream(exchange) if request.stream else carry_answer(exchange))
        return

    relay = relay_stream if request.stream else relay_answer
    await relay(exchange, request)
