"""The raw path: client and upstream speak the same dialect and no plugin wants to look.

Bytes pass through. Of the request the top level was judged, of the answer its outer form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.providers.dialect import Encoded
from spindle_llm.relay.invariants import StreamRules
from spindle_llm.relay.reading import CLOSING_PATIENCE, note_stream, read_all, require_media_type
from spindle_llm.routing.attempts import Ask, open_first
from spindle_llm.routing.defaults import defaults_for
from spindle_llm.surfaces.answer_egress import outgoing_answer
from spindle_llm.surfaces.egress import StreamEgress
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from spindle_llm.providers.dialect import ChatDialect
    from spindle_llm.routing.attempts import Opened
    from spindle_llm.routing.upstreams import Upstream
    from spindle_llm.surfaces.body import ChatRequest
    from spindle_llm.surfaces.exchange import Exchange
    from spindle_spi.records import ModelSpec


async def relay_answer(
    exchange: Exchange, request: ChatRequest, headers: Mapping[str, str]
) -> None:
    """Relay a whole answer."""
    journal, limit = exchange.journal, exchange.runtime.settings.answer_limit_bytes
    body = b""

    async def receive(opened: Opened[ChatDialect]) -> None:
        nonlocal body
        journal.first_byte()
        data = await read_all(opened.response, limit)
        body = outgoing_answer(
            data, model=opened.record.name, journal=journal, sent_bytes=opened.sent_bytes
        )

    opened = await _open(exchange, request, headers, receive)
    await opened.aclose()
    await exchange.answer(body)


async def relay_stream(
    exchange: Exchange, request: ChatRequest, headers: Mapping[str, str]
) -> None:
    """Relay a streamed answer; what one read gave goes out in one piece."""
    journal = exchange.journal
    begun: list[StreamEgress] = []
    pending = b""

    async def receive(opened: Opened[ChatDialect]) -> None:
        nonlocal pending
        require_media_type(opened.response.headers)
        egress = _egress(exchange, request, opened.record.name)
        begun.append(egress)
        pending = await _begun(opened, egress)

    opened = await _open(exchange, request, headers, receive)
    egress = begun[-1]

    try:
        await _carry(exchange, opened, egress, pending)
    except BaseException as exc:
        if egress.rules.deltas:
            note_stream(journal, egress.rules, opened.sent_bytes)

        if isinstance(exc, UpstreamError):
            opened.broke(exc)

        raise
    finally:
        await opened.aclose(patience=CLOSING_PATIENCE if egress.is_done else 0.0)


async def _begun(opened: Opened[ChatDialect], egress: StreamEgress) -> bytes:
    """Return the first events that may go out; empty when the stream came to its end before."""
    async for data in opened.response.chunks():
        pending = egress.feed(data)

        if pending or egress.is_done:
            return pending

        if egress.failure is not None:
            raise egress.failure

    return b"".join(egress.close())


async def _carry(
    exchange: Exchange, opened: Opened[ChatDialect], egress: StreamEgress, pending: bytes
) -> None:
    journal, was_done = exchange.journal, egress.is_done

    if not was_done:
        if pending:
            journal.first_byte()
            await exchange.write(pending)
            pending = b""

        egress.check()

        async for data in opened.response.chunks():
            pending = egress.feed(data)

            if egress.is_done:
                break

            if pending:
                journal.first_byte()
                await exchange.write(pending)
                pending = b""

            if egress.failure is not None:
                raise egress.failure

    pending += egress.finish()
    journal.first_byte()
    note_stream(journal, egress.rules, opened.sent_bytes)
    await exchange.end(pending)


def _egress(exchange: Exchange, request: ChatRequest, model: str) -> StreamEgress:
    return StreamEgress(
        StreamRules(model=model, fallback_id=f"chatcmpl-{exchange.call.request_id}"),
        model=model,
        wants_usage=request.wants_usage,
        limit=exchange.runtime.settings.answer_limit_bytes,
    )


async def _open(
    exchange: Exchange,
    request: ChatRequest,
    headers: Mapping[str, str],
    receive: Callable[[Opened[ChatDialect]], Awaitable[None]],
) -> Opened[ChatDialect]:
    settings = exchange.runtime.settings

    def choose(spec: ModelSpec, upstream: Upstream) -> ChatDialect:
        return upstream.adapter.chat(upstream.spec, spec, request.members)

    def encode(dialect: ChatDialect, spec: ModelSpec, upstream: Upstream) -> Encoded:
        del dialect
        defaults = defaults_for(spec, upstream.spec, settings)
        return Encoded(body=request.encoded(spec.upstream_name, defaults))

    ask = Ask(
        choose=choose,
        encode=encode,
        receive=receive,
        stream=request.stream,
        headers=headers,
        deadline=exchange.call.deadline,
    )
    return await open_first(exchange.runtime.upstreams, exchange.permit, ask, exchange.journal)
