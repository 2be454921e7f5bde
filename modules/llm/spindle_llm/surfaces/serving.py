"""The life of one chat request on any surface: judged, admitted, answered, settled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from spindle_llm.relay.journal import Journal
from spindle_llm.surfaces.admission import admitted
from spindle_llm.surfaces.errors import send_error
from spindle_llm.surfaces.exchange import Exchange
from spindle_llm.surfaces.judging import ClientGone, read_body
from spindle_spi.errors import GatewayError, Internal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from typing import TypeVar

    from spindle_llm.runtime import State
    from spindle_llm.surfaces.form import Asked, ChatForm
    from spindle_spi.ingress import Call
    from spindle_spi.shapes import ErrorShape
    from spindle_spi.types import Receive, Send

    A = TypeVar("A", bound=Asked)


async def serve_chat(  # noqa: PLR0913 - one request, and what its surface makes of it
    state: State,
    wire: tuple[Receive, Send],
    call: Call,
    shape: ErrorShape,
    parse: Callable[[bytes], tuple[A, ChatForm]],
    respond: Callable[[Exchange, A], Awaitable[None]],
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Judge a request, have it admitted, answer it; it is settled when this returns.

    `parse` judges the body and says how its client is spoken to; `respond` answers once admitted.
    Of the request's `headers` those that concern routing are read.
    """
    receive, send = wire
    journal = Journal()

    try:
        request, form = parse(await read_body(receive))
        runtime = state.runtime
        permit = await admitted(runtime, call, request.model, request.estimate, headers=headers)
    except ClientGone:
        return
    except GatewayError as exc:
        await send_error(send, exc, call.request_id, shape=shape)
        return

    journal.stream = request.stream
    exchange = Exchange(runtime, call, permit, request, form, journal, wire)
    await conclude(exchange, respond(exchange, request))


async def conclude(exchange: Exchange, answer: Awaitable[None]) -> None:
    """Await the answer to an admitted call; it is settled when this returns, however it does."""
    try:
        await answer
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
