"""POST /v1/chat/completions: OpenAI's chat surface, whole answers and streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from spindle_llm.relay.journal import Journal
from spindle_llm.routing.names import model_names
from spindle_llm.surfaces.body import ClientGone, parse_chat, read_body
from spindle_llm.surfaces.chat_parsed import carry_answer, carry_stream
from spindle_llm.surfaces.chat_raw import relay_answer, relay_stream
from spindle_llm.surfaces.errors import model_not_found, send_error
from spindle_llm.surfaces.exchange import Exchange
from spindle_spi.errors import GatewayError, Internal, InvalidArgument, NotFound
from spindle_spi.policy import Action
from spindle_spi.records import Kind, ProviderSpec, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_llm.runtime import Runtime, State
    from spindle_llm.surfaces.body import ChatRequest
    from spindle_spi.admission import Permit
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
        journal = Journal()

        try:
            request = parse_chat(await read_body(receive))
            runtime = self._state.runtime
            permit = await _admitted(runtime, call, request)
        except ClientGone:
            return
        except GatewayError as exc:
            await send_error(send, exc, call.request_id)
            return

        journal.stream = request.stream
        exchange = Exchange(runtime, call, permit, request, journal, receive, send)
        await _serve(exchange, scope["headers"])


async def _serve(exchange: Exchange, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Answer an admitted call; it is settled when this returns, however it returns."""
    try:
        await _respond(exchange, headers)
    except GatewayError as exc:
        await exchange.fail(exc)
    except anyio.get_cancelled_exc_class():
        was_client = exchange.watch.caused()
        await exchange.give_up()

        if not was_client:
            raise
    except BaseException:
        await exchange.give_up(error_code=Internal.default_code)
        raise


async def _respond(exchange: Exchange, headers: Iterable[tuple[bytes, bytes]]) -> None:
    stream = exchange.request.stream

    if not _passes_through(exchange.runtime, exchange.permit):
        await (carry_stream(exchange) if stream else carry_answer(exchange))
        return

    passed = {
        _PASSED_ON[name]: value.decode("latin-1") for name, value in headers if name in _PASSED_ON
    }
    traceparent = exchange.call.context.trace.traceparent

    if traceparent is not None:
        passed["traceparent"] = traceparent

    await (relay_stream(exchange, passed) if stream else relay_answer(exchange, passed))


def _passes_through(runtime: Runtime, permit: Permit) -> bool:
    """Tell whether nobody has to see more than bytes."""
    if permit.hooks:
        return False

    specs = [
        backend.spec
        for backend in (permit.backend, *permit.alternative_backends)
        if backend is not None and isinstance(backend.spec, ProviderSpec)
    ]
    return all(runtime.upstreams.adapter(spec).passes_through for spec in specs)


async def _admitted(runtime: Runtime, call: Call, request: ChatRequest) -> Permit:
    """Have the core decide the call.

    Raises:
        InvalidArgument: The request names no model, and there is no default.
        NotFound: The model is absent or hidden.
    """
    settings = runtime.settings
    name = request.model or settings.default_model

    if name is None:
        raise InvalidArgument(
            "The request names no model.", code="llm.model.missing", param="model"
        )

    for candidate in model_names(name, settings):
        try:
            return await runtime.services.catalog.admit(
                call.context,
                Target(kind=Kind.MODEL, name=candidate),
                Action.EXECUTE,
                request.estimate,
            )
        except NotFound:
            continue

    raise model_not_found(name)
