"""Traces: which requests are traced, and the spans that are made of what is known at their end.

Nothing of a span exists while a request runs but the ids in its trace context, so a request that is
not sampled costs one comparison, and modules need to know nothing of spans.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from spindle_spi.context import TraceContext

Attribute = str | bool | int | float | Sequence[str]
SpanKind = Literal["server", "client", "internal"]

_FLAGS_AT = 53
"""Where the flags of a `traceparent` begin: `00-<32>-<16>-<2>`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A finished span, as plain data. Times are nanoseconds since the epoch; ids are hex."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: SpanKind
    start: int
    end: int
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    error: str | None = None
    """Why it failed: a code, never a text from elsewhere."""


class SpanSink(Protocol):
    """Takes finished spans; never blocks and never fails the caller."""

    def take(self, span: Span) -> None:
        """Take one."""
        ...


def is_sampled(trace: TraceContext) -> bool:
    """Tell whether a request is traced."""
    traceparent = trace.traceparent
    # Odd flags: the lowest bit says "sampled".
    return traceparent is not None and int(traceparent[_FLAGS_AT:], 16) & 1 == 1


class Tracing:
    """Decides at the start of a request, and makes spans at the end of what it did."""

    def __init__(self, sink: SpanSink, *, sample_ratio: float, trust_parent: bool) -> None:
        self._sink = sink
        self._ratio = sample_ratio
        self._trust_parent = trust_parent
        self._random = random.Random()

    def begin(self, trace: TraceContext) -> tuple[TraceContext, str | None]:
        """Return the trace of a request as it goes on, and the id of the client's span if any.

        What goes on carries the request's own span as the parent of everything under it.
        """
        said = trace.traceparent
        is_wanted = said is not None and self._trust_parent and is_sampled(trace)

        if not is_wanted and (self._ratio == 0 or self._random.random() >= self._ratio):
            if said is None or not is_sampled(trace):
                return trace, None

            # Not believed: what goes on says that nobody here records it.
            return replace(trace, traceparent=f"{said[:_FLAGS_AT]}00"), None

        trace_id = secrets.token_hex(16) if said is None else said[3:35]
        parent = None if said is None else said[36:52]
        going_on = f"00-{trace_id}-{secrets.token_hex(8)}-01"
        return replace(trace, traceparent=going_on), parent

    def end(self, span: Span) -> None:
        """Hand on a finished span."""
        self._sink.take(span)

    def end_request(
        self,
        trace: TraceContext,
        parent_id: str | None,
        *,
        name: str,
        seconds: float,
        attributes: Mapping[str, Attribute],
        error: str | None,
    ) -> None:
        """Make the span of a request that `begin` gave a trace and that ends now."""
        traceparent = trace.traceparent

        if traceparent is None:
            return

        end = time.time_ns()
        self._sink.take(
            Span(
                trace_id=traceparent[3:35],
                span_id=traceparent[36:52],
                parent_id=parent_id,
                name=name,
                kind="server",
                start=end - int(seconds * 1e9),
                end=end,
                attributes=attributes,
                error=error,
            )
        )


def child_of(trace: TraceContext) -> tuple[str, str, str] | None:
    """Return trace id, parent id and a new span id for what happens in a traced request."""
    traceparent = trace.traceparent

    if traceparent is None or not is_sampled(trace):
        return None

    return traceparent[3:35], traceparent[36:52], secrets.token_hex(8)
