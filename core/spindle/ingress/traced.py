"""The span of a request: begun with its trace context, made when the request has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.telemetry import semconv
from spindle.telemetry.spans import is_sampled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle.ingress.exchange import Exchange
    from spindle.telemetry.spans import Tracing
    from spindle_spi.context import TraceContext


def begin_trace(tracing: Tracing, trace: TraceContext, exchange: Exchange) -> TraceContext:
    """Return the trace a request goes on with; a traced one's exchange remembers it."""
    trace, exchange.parent_span = tracing.begin(trace)

    if is_sampled(trace):
        exchange.trace = trace

    return trace


def end_trace(
    tracing: Tracing,
    trace: TraceContext,
    exchange: Exchange,
    labels: Mapping[str, str],
    seconds: float,
) -> None:
    """Make the span of a traced request; `labels` are those of its measures."""
    status = int(labels["status"])
    tracing.end_request(
        trace,
        exchange.parent_span,
        name=f"{labels['method']} {labels['route']}",
        seconds=seconds,
        attributes={
            semconv.HTTP_METHOD: labels["method"],
            semconv.HTTP_ROUTE: labels["route"],
            semconv.HTTP_STATUS: status,
            semconv.GATEWAY_REQUEST: trace.request_id,
        },
        # By the conventions a server's span has failed for what the server did, not the client.
        error=str(status) if status >= 500 else None,
    )
