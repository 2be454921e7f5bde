"""POST /v1/embeddings: vectors of texts, from whatever provider makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.embeddings.asking import asker_for
from spindle_llm.surfaces.embeddings_answer import write_embeddings
from spindle_llm.surfaces.embeddings_request import parse_embeddings, query_of
from spindle_llm.surfaces.openai_form import OpenAiForm
from spindle_llm.surfaces.serving import serve_chat
from spindle_spi.payloads import lift_embeddings_request, write_back
from spindle_spi.plugin import HookPhase
from spindle_spi.shapes import OPENAI

if TYPE_CHECKING:
    from spindle_llm.runtime import State
    from spindle_llm.surfaces.embeddings_request import EmbeddingsRequest
    from spindle_llm.surfaces.exchange import Exchange
    from spindle_llm.surfaces.form import ChatForm
    from spindle_spi.ingress import Call
    from spindle_spi.types import JsonObject, Receive, Scope, Send


class Embeddings:
    """The handler of the route."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Judge the request, have it admitted, answer it."""
        del scope
        await serve_chat(self._state, (receive, send), call, OPENAI, _parse, _respond)


def _parse(body: bytes) -> tuple[EmbeddingsRequest, ChatForm]:
    return parse_embeddings(body), OpenAiForm(wants_usage=False)


async def _respond(exchange: Exchange, request: EmbeddingsRequest) -> None:
    context, permit, journal = exchange.call.context, exchange.permit, exchange.journal
    query = query_of(await _hooked(exchange, request.data))
    asker = asker_for(exchange.runtime, context, permit, query, deadline=exchange.call.deadline)
    kept = await exchange.runtime.embeddings.vectors(asker, query.inputs, journal)

    if permit.hooks.answer:
        # There is no text in an answer of numbers: the phase is carried out on nothing.
        plugin = exchange.runtime.services.plugin
        await plugin.execute_hook(context, permit.id, HookPhase.POST_INVOKE, ())

    await exchange.answer(
        write_embeddings(
            [entry.vector for entry in kept],
            model=permit.record.name,
            encoding=request.encoding,
            # What the inputs have, whether or not they were asked for again.
            tokens=sum(entry.tokens for entry in kept),
        )
    )


async def _hooked(exchange: Exchange, data: JsonObject) -> JsonObject:
    """Return a request as the plugins of the permit leave it."""
    permit = exchange.permit

    if not permit.hooks.request:
        return data

    plugin = exchange.runtime.services.plugin
    before = lift_embeddings_request(data)
    after = await plugin.execute_hook(
        exchange.call.context, permit.id, HookPhase.PRE_INVOKE, before
    )
    return write_back(data, before, after)
