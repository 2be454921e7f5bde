"""Reading an upstream's answer to its end, whole or as events, and noting what it came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.relay.usage import estimated_usage, told_usage
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from spindle_llm.providers.dialect import StreamDecoder
    from spindle_llm.relay.invariants import StreamRules
    from spindle_llm.relay.journal import Journal
    from spindle_spi.types import JsonObject
    from spindle_transport.exchange import UpstreamResponse

CLOSING_PATIENCE = 0.25
"""Seconds an upstream gets to close its stream after it said that it is done."""


async def read_all(response: UpstreamResponse, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        UpstreamError: It is larger than the limit, or was cut.
    """
    whole = b""
    more: list[bytes] = []
    size = 0

    async for data in response.chunks():
        size += len(data)

        if size > limit:
            raise UpstreamError("The upstream's answer is too large.", code="upstream_too_large")

        if whole:
            more.append(data)
        else:
            whole = data

    return b"".join((whole, *more)) if more else whole


async def decoded(response: UpstreamResponse, decoder: StreamDecoder) -> AsyncGenerator[JsonObject]:
    """Yield the chunks of the body, until the decoder has what it needs or the body ends.

    Raises:
        UpstreamError: An event is too large, tells of an error, or the connection broke.
    """
    async for data in response.chunks():
        for chunk in decoder.feed(data):
            yield chunk

        if decoder.is_done:
            return

    for chunk in decoder.close():
        yield chunk


def require_media_type(
    headers: Mapping[str, str], accepted: tuple[str, ...] = ("text/event-stream",)
) -> None:
    """Refuse an answer that is no stream of the kind that is read.

    Raises:
        UpstreamError: It is something else, such as a page of HTML.
    """
    if not headers.get("content-type", "").lower().startswith(accepted):
        raise UpstreamError("The upstream did not answer with a stream.", code="upstream_garbage")


def note_stream(journal: Journal, rules: StreamRules, sent_bytes: int) -> None:
    """Write into the journal what a stream came to, at its end or where it was left."""
    journal.response_id = rules.id
    journal.finish_reasons = rules.finish_reasons
    journal.usage = told_usage(rules.usage) or estimated_usage(
        request_bytes=sent_bytes, output_tokens=rules.deltas
    )
