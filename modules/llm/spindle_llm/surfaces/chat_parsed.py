"""The parsed path: a plugin wants to look, or client and upstream speak different dialects.

Same decisions and same answers as the raw path; everything is plain data in between.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from spindle_llm.relay.wire_json import answer_too_deep
from spindle_llm.runtime import stream
from spindle_llm.surfaces.guarded import GuardedStream
from spindle_llm.turn import complete_hooked, hooked_request

if TYPE_CHECKING:
    from spindle_llm.surfaces.exchange import Exchange


async def carry_answer(exchange: Exchange) -> None:
    """Answer whole, with the hooks of the permit carried out."""
    completion = await complete_hooked(
        exchange.runtime,
        exchange.call.context,
        exchange.permit,
        exchange.request.parsed(),
        deadline=exchange.call.deadline,
        journal=exchange.journal,
    )

    try:
        body = exchange.form.answer(completion.answer)
    except RecursionError as exc:
        raise answer_too_deep() from exc

    await exchange.answer(body)


async def carry_stream(exchange: Exchange) -> None:
    """Answer as a stream, with the hooks of the permit carried out."""
    runtime, context, permit = exchange.runtime, exchange.call.context, exchange.permit
    body = await hooked_request(runtime, context, permit, exchange.request.parsed())
    guarded = None

    if permit.hooks.answer:
        guard = await runtime.services.plugin.open_guard(context, permit.id)
        guarded = GuardedStream(guard)

    writer = exchange.form.writer(permit.record.name)
    chunks = stream(
        runtime,
        context,
        permit,
        body,
        deadline=exchange.call.deadline,
        journal=exchange.journal,
    )

    async with aclosing(chunks):
        async for chunk in chunks:
            allowed = [chunk] if guarded is None else await guarded.take(chunk)
            events = b"".join([writer.take(entry) for entry in allowed])

            if events:
                await exchange.write(events)

    if guarded is not None:
        await guarded.finish()

    await exchange.end(writer.end())
