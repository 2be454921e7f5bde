"""The spans of a settled call that is traced: made at its end, of what is known of it by then.

A model's call is a span of the gateway's own, and below it one for each question to an upstream.
What a tool, a resource or a prompt is asked is one span. Nothing of what was said is in them.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from spindle.telemetry import semconv
from spindle.telemetry.attempts import OK, asked_by, attempts_of, operation_of, provider_name
from spindle.telemetry.spans import Span, child_of
from spindle_spi.admission import Status
from spindle_spi.records import GatewaySpec, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle.admission import OpenPermit
    from spindle.telemetry.spans import Attribute
    from spindle_spi.admission import Attempt, Outcome, TokenUsage
    from spindle_spi.records import CatalogRecord

METHODS = {
    Kind.TOOL: "tools/call",
    Kind.RESOURCE: "resources/read",
    Kind.RESOURCE_TEMPLATE: "resources/read",
    Kind.PROMPT: "prompts/get",
}
"""The MCP method by which a record is used."""


class SettledCall:
    """What is known of a call at its end."""

    __slots__ = ("cost", "held", "outcome", "record", "usage")

    def __init__(
        self, held: OpenPermit, outcome: Outcome, usage: TokenUsage | None, cost: float | None
    ) -> None:
        self.held = held
        self.record: CatalogRecord = held.permit.record
        self.outcome = outcome
        self.usage = usage
        self.cost = cost


def error_of(outcome: Outcome) -> str:
    """Return the code of a call that did not go well, else nothing."""
    return "" if outcome.status is Status.OK else outcome.error_code or outcome.status.value


def spans_of(call: SettledCall) -> Iterator[Span]:
    """Yield the spans of a call, the outer one first; none if it is not traced."""
    ids = child_of(call.held.context.trace)

    if ids is None:
        return

    record = call.record
    is_model = record.kind is Kind.MODEL
    start = int(call.held.at * 1e9)
    name = operation_of(record) if is_model else METHODS.get(record.kind, record.kind.value)
    attributes = _common(call) | (_of_model(call) if is_model else _of_mcp(call))
    whole = Span(
        trace_id=ids[0],
        span_id=ids[2],
        parent_id=ids[1],
        name=f"{name} {record.name}",
        kind="internal" if is_model else "client",
        start=start,
        end=start + int(call.outcome.total_ms * 1e6),
        attributes=attributes,
        error=error_of(call.outcome) or None,
    )
    yield whole

    if is_model:
        yield from _attempts(call, whole)


def _attempts(call: SettledCall, whole: Span) -> Iterator[Span]:
    """Yield a span for each attempt, one after the other from the begin of the call."""
    permit, outcome = call.held.permit, call.outcome
    attempts = attempts_of(permit, outcome)
    before: Attempt | None = None
    end = whole.start

    for number, attempt in enumerate(attempts, 1):
        start = min(end + int(attempt.waited_ms * 1e6), whole.end)
        end = start + int(attempt.milliseconds * 1e6)

        if end > whole.end:
            # Batches are asked for at once, so they do not follow each other.
            start, end = max(whole.start, start - (end - whole.end)), whole.end

        if number == len(attempts) and outcome.stream and outcome.first_byte_ms is not None:
            # An attempt's own time ends where its stream begins.
            end = whole.end

        asked = asked_by(permit, attempt)
        yield Span(
            trace_id=whole.trace_id,
            span_id=secrets.token_hex(8),
            parent_id=whole.span_id,
            name=f"{asked.operation} {asked.model}",
            kind="client",
            start=start,
            end=end,
            attributes={
                semconv.OPERATION_NAME: asked.operation,
                semconv.PROVIDER_NAME: asked.provider,
                semconv.REQUEST_MODEL: asked.model,
                semconv.REQUEST_STREAM: outcome.stream,
                semconv.GATEWAY_ATTEMPT: number,
                **_told(
                    {
                        semconv.HTTP_STATUS: attempt.status,
                        semconv.SERVER_ADDRESS: asked.address,
                        semconv.SERVER_PORT: asked.port,
                        semconv.GATEWAY_WAITED: attempt.waited_ms or None,
                        semconv.GATEWAY_FALLBACK: _left(before, attempt),
                    }
                ),
            },
            error=None if attempt.outcome == OK else attempt.outcome,
        )
        before = attempt


def _left(before: Attempt | None, attempt: Attempt) -> str | None:
    """Return which model an attempt stands in for, when it is another one."""
    return None if before is None or before.target == attempt.target else before.target


def _common(call: SettledCall) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {
        semconv.GATEWAY_REQUEST: call.held.context.trace.request_id,
        semconv.GATEWAY_STATUS: call.outcome.status.value,
        semconv.GATEWAY_DECISION: "deny" if call.outcome.status is Status.DENIED else "allow",
    }

    if call.record.module:
        found[semconv.GATEWAY_MODULE] = call.record.module

    if call.outcome.response_bytes is not None:
        found[semconv.GATEWAY_BYTES] = call.outcome.response_bytes

    return found


def _of_model(call: SettledCall) -> dict[str, Attribute]:
    outcome, usage, estimate = call.outcome, call.usage, call.held.estimate
    record, served_by = call.record, outcome.served_by
    most = None if estimate is None else estimate.max_output_tokens
    embedded = outcome.embedded
    is_answered = outcome.status in (Status.OK, Status.PARTIAL)
    choices = None if estimate is None or estimate.choices == 1 else estimate.choices
    first = outcome.first_byte_ms if outcome.stream else None
    return {
        semconv.OPERATION_NAME: operation_of(record),
        semconv.PROVIDER_NAME: provider_name(call.held.permit.backend),
        semconv.REQUEST_MODEL: record.name,
        semconv.REQUEST_STREAM: outcome.stream,
        semconv.GATEWAY_ROUTE: call.held.permit.id,
        **_told(
            {
                semconv.REQUEST_CHOICES: choices,
                semconv.REQUEST_MAX_TOKENS: most,
                semconv.RESPONSE_ID: outcome.response_id,
                semconv.RESPONSE_MODEL: (served_by or record.name) if is_answered else None,
                semconv.FINISH_REASONS: list(outcome.finish_reasons) or None,
                semconv.FIRST_CHUNK: None if first is None else first / 1000,
                semconv.DIMENSIONS: None if embedded is None else embedded.dimension,
                semconv.GATEWAY_FALLBACK: record.name if served_by else None,
                semconv.GATEWAY_CACHE: outcome.cache_hit or None,
                semconv.GATEWAY_COST: call.cost,
            }
        ),
        **({} if usage is None else _of_usage(usage)),
    }


def _of_usage(usage: TokenUsage) -> dict[str, Attribute]:
    return {
        semconv.INPUT_TOKENS: usage.input_tokens,
        semconv.OUTPUT_TOKENS: usage.output_tokens,
        **_told(
            {
                semconv.CACHE_READ: usage.cache_read_tokens or None,
                semconv.CACHE_WRITE: usage.cache_write_tokens or None,
                semconv.REASONING: usage.reasoning_tokens or None,
            }
        ),
    }


def _of_mcp(call: SettledCall) -> dict[str, Attribute]:
    record, backend = call.record, call.held.permit.backend
    found: dict[str, Attribute] = {}

    if record.kind in METHODS:
        found[semconv.MCP_METHOD] = METHODS[record.kind]

    if record.kind is Kind.TOOL:
        found |= {semconv.OPERATION_NAME: "execute_tool", semconv.TOOL_NAME: record.name}
    elif record.kind is Kind.PROMPT:
        found[semconv.PROMPT_NAME] = record.name
    else:
        found[semconv.MCP_RESOURCE] = record.name

    if backend is not None and isinstance(backend.spec, GatewaySpec):
        is_pipe = backend.spec.transport == "stdio"
        found[semconv.NETWORK_TRANSPORT] = "pipe" if is_pipe else "tcp"

    if call.cost is not None:
        found[semconv.GATEWAY_COST] = call.cost

    return found


def _told(attributes: dict[str, Attribute | None]) -> dict[str, Attribute]:
    return {name: value for name, value in attributes.items() if value is not None}
