"""POST /v1/chat/completions: OpenAI's chat surface, whole answers and streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.providers.dialect import Form
from spindle_llm.routing.attempts import candidates
from spindle_llm.routing.defaults import defaults_for
from spindle_llm.surfaces.body import parse_chat
from spindle_llm.surfaces.chat_parsed import carry_answer, carry_stream
from spindle_llm.surfaces.chat_raw import relay_answer, relay_stream
from spindle_llm.surfaces.openai_form import OpenAiForm
from spindle_llm.surfaces.serving import serve_chat
from spindle_spi.records import ModelSpec, ProviderSpec
from spindle_spi.shapes import OPENAI

if TYPE_CHECKING:
    from spindle_llm.runtime import State
    from spindle_llm.surfaces.body import ChatRequest
    from spindle_llm.surfaces.exchange import Exchange
    from spindle_llm.surfaces.form import ChatForm
    from spindle_spi.ingress import Call
    from spindle_spi.types import Receive, Scope, Send

_PASSED_ON = {b"idempotency-key": "Idempotency-Key", b"openai-beta": "OpenAI-Beta"}
"""Headers of a client that concern the upstream. All others stay here: an unknown one may hold a
credential, and the caller's credentials are never the upstream's business."""


class ChatCompletions:
    """The handler of the route."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Judge the request, have it admitted, relay it."""

        async def respond(exchange: Exchange, request: ChatRequest) -> None:
            await _respond(exchange, request, scope)

        await serve_chat(
            self._state, (receive, send), call, OPENAI, _parse, respond, scope["headers"]
        )


def _parse(body: bytes) -> tuple[ChatRequest, ChatForm]:
    request = parse_chat(body)
    return request, OpenAiForm(wants_usage=request.wants_usage)


async def _respond(exchange: Exchange, request: ChatRequest, scope: Scope) -> None:
    if not _passes_through(exchange, request):
        await (carry_stream(exchange) if request.stream else carry_answer(exchange))
        return

    passed = {
        _PASSED_ON[name]: value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _PASSED_ON
    }
    traceparent = exchange.call.context.trace.traceparent

    if traceparent is not None:
        passed["traceparent"] = traceparent

    relay = relay_stream if request.stream else relay_answer
    await relay(exchange, request, passed)


def _passes_through(exchange: Exchange, request: ChatRequest) -> bool:
    """Tell whether nobody has to see more than bytes, whichever candidate answers."""
    permit = exchange.permit

    if permit.hooks:
        return False

    upstreams = exchange.runtime.upstreams

    for record, backend in candidates(permit):
        spec, provider = record.spec, backend.spec

        if not isinstance(spec, ModelSpec) or not isinstance(provider, ProviderSpec):
            return False

        dialect = upstreams.adapter(provider).chat(provider, spec, request.members)
        defaults = defaults_for(spec, provider, exchange.runtime.settings)
        # What the operator sets is written into the bytes, and has to be taken as well.
        members = {**dict.fromkeys(defaults, (0, 0)), **request.members} if defaults else None

        if dialect.form is not Form.OPENAI or not dialect.takes(
            members or request.members, request.body
        ):
            return False

    return True
