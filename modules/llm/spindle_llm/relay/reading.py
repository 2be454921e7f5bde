"""Reading an upstream's answer to its end, whole or as events, and noting what it came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.relay.sse import SseEvent, SseParser
from spindle_llm.relay.usage import estimated_usage, told_usage
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from spindle_llm.relay.invariants import StreamRules
    from spindle_llm.relay.journal import Journal
    from spindle_llm.relay.transport import UpstreamResponse

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


async def read_events(response: UpstreamResponse, limit: int) -> AsyncGenerator[SseEvent]:
    """Yield the events of the body.

    Raises:
        UpstreamError: One is larger than the limit, or the connection broke.
    """
    parser = SseParser(limit)

    async for data in response.chunks():
        for event in parser.feed(data):
            yield event

    for event in parser.close():
        yield event


def require_events(headers: Mapping[str, str]) -> None:
    """Refuse an answer that is no event stream.

    Raises:
        UpstreamError: It is something else, such as a page of HTML.
    """
    if not headers.get("content-type", "").lower().startswith("text/event-stream"):
        raise UpstreamError("The upstream did not answer with a stream.", code="upstream_garbage")


def note_stream(journal: Journal, rules: StreamRules, sent_bytes: int) -> None:
    """Write into the journal what a stream came to, at its end or where it was left."""
    journal.finish_reasons = rules.finish_reasons
    journal.usage = told_usage(rules.usage) or estimated_usage(
        request_bytes=sent_bytes, output_tokens=rules.deltas
    )
