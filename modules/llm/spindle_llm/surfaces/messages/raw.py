"""The raw path: client and upstream speak Anthropic's form, and no plugin wants to look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_llm.providers.anthropic_chat import BETA, beta_headers
from spindle_llm.providers.dialect import Encoded, Form
from spindle_llm.relay.reading import CLOSING_PATIENCE, read_all, require_media_type
from spindle_llm.routing.attempts import Ask, candidates, open_first
from spindle_llm.routing.defaults import defaults_for
from spindle_llm.surfaces.messages.egress import MessageEgress, outgoing_message
from spindle_spi.errors import UpstreamError
from spindle_spi.records import ModelSpec, ProviderSpec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_llm.providers.dialect import ChatDialect
    from spindle_llm.routing.attempts import Opened
    from spindle_llm.routing.upstreams import Upstream
    from spindle_llm.surfaces.exchange import Exchange
    from spindle_llm.surfaces.messages.request import Edition, MessageRequest

VERSION: Final = "anthropic-version"


def passes_through(exchange: Exchange, request: MessageRequest) -> bool:
    """Tell whether nobody has to see more than bytes, whichever candidate answers."""
    runtime = exchange.runtime

    if exchange.permit.hooks:
        return False

    for record, backend in candidates(exchange.permit):
        spec, provider = record.spec, backend.spec

        if not isinstance(spec, ModelSpec) or not isinstance(provider, ProviderSpec):
            return False

        dialect = runtime.upstreams.adapter(provider).chat(provider, spec, request.members)
        defaults = defaults_for(spec, provider, runtime.settings)

        if dialect.form is not Form.ANTHROPIC or not dialect.takes(request.members, request.body):
            return False

        if not request.takes(defaults):
            return False

    return True


async def relay_answer(exchange: Exchange, request: MessageRequest) -> None:
    """Relay a whole message."""
    journal, limit = exchange.journal, exchange.runtime.settings.answer_limit_bytes
    body = b""

    async def receive(opened: Opened[ChatDialect]) -> None:
        nonlocal body
        journal.first_byte()
        data = await read_all(opened.response, limit)
        body = outgoing_message(
            data, model=opened.record.name, journal=journal, sent_bytes=opened.sent_bytes
        )

    opened = await _open(exchange, request, receive)
    await opened.aclose()
    await exchange.answer(body)


async def relay_stream(exchange: Exchange, request: MessageRequest) -> None:
    """Relay a streamed message; what one read gave goes out in one piece."""
    limit = exchange.runtime.settings.answer_limit_bytes
    begun: list[tuple[MessageEgress, bytes]] = []

    async def receive(opened: Opened[ChatDialect]) -> None:
        require_media_type(opened.response.headers)
        egress = MessageEgress(model=opened.record.name, limit=limit)
        begun.append((egress, await _begun(opened, egress)))

    opened = await _open(exchange, request, receive)
    egress, pending = begun[-1]

    try:
        await _carry(exchange, opened, egress, pending)
    except BaseException as exc:
        egress.note(exchange.journal, opened.sent_bytes)

        if isinstance(exc, UpstreamError):
            opened.broke(exc)

        raise
    finally:
        await opened.aclose(patience=CLOSING_PATIENCE if egress.is_done else 0.0)


async def _begun(opened: Opened[ChatDialect], egress: MessageEgress) -> bytes:
    """Return the first events that may go out; empty when the stream came to its end before."""
    async for data in opened.response.chunks():
        pending = egress.feed(data)

        if pending or egress.is_done:
            return pending

        if egress.failure is not None:
            raise egress.failure

    return egress.finish()


async def _carry(
    exchange: Exchange, opened: Opened[ChatDialect], egress: MessageEgress, pending: bytes
) -> None:
    journal, was_done = exchange.journal, egress.is_done

    if not was_done:
        journal.first_byte()
        await exchange.write(pending)
        pending = b""
        egress.check()

        async for data in opened.response.chunks():
            pending = egress.feed(data)

            if egress.is_done:
                break

            if pending:
                await exchange.write(pending)
                pending = b""

            egress.check()

    pending += egress.finish()
    journal.first_byte()
    egress.note(journal, opened.sent_bytes)
    await exchange.end(pending)


def own_headers(upstream: Upstream, edition: Edition) -> dict[str, str]:
    """Return the headers that an upstream of this form gets of a client.

    The betas of both; the client's version, unless the provider's record names one.
    """
    own = upstream.headers[False].get(BETA, "").split(",")
    passed = beta_headers((name for name in own if name), edition.betas)

    if edition.version is not None and upstream.spec.api_version is None:
        passed[VERSION] = edition.version

    return passed


async def _open(
    exchange: Exchange,
    request: MessageRequest,
    receive: Callable[[Opened[ChatDialect]], Awaitable[None]],
) -> Opened[ChatDialect]:
    settings = exchange.runtime.settings

    def choose(spec: ModelSpec, upstream: Upstream) -> ChatDialect:
        return upstream.adapter.chat(upstream.spec, spec, request.members)

    def encode(dialect: ChatDialect, spec: ModelSpec, upstream: Upstream) -> Encoded:
        del dialect
        defaults = defaults_for(spec, upstream.spec, settings)
        return Encoded(
            body=request.encoded(spec.upstream_name, defaults),
            headers=own_headers(upstream, request.edition),
        )

    traceparent = exchange.call.context.trace.traceparent
    ask = Ask(
        choose=choose,
        encode=encode,
        receive=receive,
        stream=request.stream,
        headers={} if traceparent is None else {"traceparent": traceparent},
        deadline=exchange.call.deadline,
    )
    return await open_first(exchange.runtime.upstreams, exchange.permit, ask, exchange.journal)
