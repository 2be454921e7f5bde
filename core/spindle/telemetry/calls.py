"""What the core tells of every settled call: measures by the conventions, and spans if sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from spindle.telemetry import semconv
from spindle.telemetry.spans import Span, child_of
from spindle_spi.admission import Status
from spindle_spi.records import GatewaySpec, Kind, ProviderSpec

if TYPE_CHECKING:
    from spindle.admission import OpenPermit
    from spindle.telemetry.metrics import Counter, Metrics, Values
    from spindle.telemetry.spans import Attribute, Tracing
    from spindle_spi.admission import Attempt, Outcome, TokenUsage
    from spindle_spi.records import CatalogRecord

_Place: TypeAlias = "tuple[Kind, str, str | None, str | None, Status, str | None, bool, bool]"
"""What tells the measures of two calls apart."""

CALLS = "spindle_calls_total"
CALL_INPUT = "spindle_input_tokens_total"
CALL_OUTPUT = "spindle_output_tokens_total"

_OTHER = "_OTHER"
_METHODS = {
    Kind.TOOL: "tools/call",
    Kind.RESOURCE: "resources/read",
    Kind.RESOURCE_TEMPLATE: "resources/read",
    Kind.PROMPT: "prompts/get",
}
_MAX_KNOWN = 2000


class _Measures:
    """The counters and histograms of calls that differ in nothing that is a label."""

    __slots__ = ("calls", "first_chunk", "input", "output", "seconds", "tokens_in", "tokens_out")

    def __init__(self, metrics: Metrics, record: CatalogRecord, status: str) -> None:
        kind = {"kind": record.kind.value}
        self.calls = metrics.counter(CALLS, kind | {"status": status})
        self.input: Counter | None = None
        self.output: Counter | None = None
        self.seconds: Values | None = None
        self.first_chunk: Values | None = None
        self.tokens_in: Values | None = None
        self.tokens_out: Values | None = None


class CallObserver:
    """Measures and traces calls as they are settled; `tracing` is None when nothing is traced."""

    def __init__(self, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self.tracing = tracing
        self._metrics = metrics
        self._known: dict[_Place, _Measures] = {}

    def observe(
        self, held: OpenPermit, outcome: Outcome, usage: TokenUsage | None, cost: float | None
    ) -> None:
        """Take note of a call that ends now."""
        permit = held.permit
        backend = permit.backend
        is_timed = outcome.stream and outcome.first_byte_ms is not None
        place = (
            permit.record.kind,
            permit.record.name,
            outcome.served_by,
            None if backend is None else backend.name,
            outcome.status,
            outcome.error_code,
            usage is not None,
            is_timed,
        )
        measures = self._known.get(place) or self._measures(place, permit.record, backend, outcome)
        measures.calls.value += 1

        if measures.seconds is not None:
            measures.seconds.add(outcome.total_ms / 1000)

        if usage is not None:
            _add_tokens(measures, usage)

        if measures.first_chunk is not None and outcome.first_byte_ms is not None:
            measures.first_chunk.add(outcome.first_byte_ms / 1000)

        if self.tracing is not None and held.context.trace.traceparent is not None:
            self._trace(self.tracing, held, outcome, usage, cost)

    def _measures(
        self,
        place: _Place,
        record: CatalogRecord,
        backend: CatalogRecord | None,
        outcome: Outcome,
    ) -> _Measures:
        *_, has_usage, is_timed = place
        metrics = self._metrics
        measures = _Measures(metrics, record, outcome.status.value)
        error = _error_of(outcome)

        if has_usage:
            labels = {"kind": record.kind.value}
            measures.input = metrics.counter(CALL_INPUT, labels)
            measures.output = metrics.counter(CALL_OUTPUT, labels)

        if record.kind is Kind.MODEL:
            labels = _model_labels(record, outcome.served_by or record.name, backend, error)
            measures.seconds = metrics.histogram(semconv.OPERATION_SECONDS, labels)

            if is_timed:
                measures.first_chunk = metrics.histogram(semconv.FIRST_CHUNK_SECONDS, labels)

            if has_usage:
                tokens = semconv.TOKEN_USAGE
                measures.tokens_in = metrics.histogram(tokens, labels | {"type": "input"})
                measures.tokens_out = metrics.histogram(tokens, labels | {"type": "output"})
        elif record.kind in _METHODS:
            labels = {"method": _METHODS[record.kind]}
            labels |= {"error": error} if error else {}
            measures.seconds = metrics.histogram(semconv.MCP_SECONDS, labels)

        # Error codes may come from a module: what is kept of them is bounded.
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()

        self._known[place] = measures
        return measures

    def _trace(
        self,
        tracing: Tracing,
        held: OpenPermit,
        outcome: Outcome,
        usage: TokenUsage | None,
        cost: float | None,
    ) -> None:
        trace = held.context.trace
        start = int(held.at * 1e9)
        last = len(outcome.attempts) - 1
        spans = outcome.attempts or (None,)

        for number, attempt in enumerate(spans):
            ids = child_of(trace)

            if ids is None:
                return

            is_last = number >= last
            milliseconds = outcome.total_ms if attempt is None else attempt.milliseconds
            end = start + int(milliseconds * 1e6)
            attributes = _attributes(held, outcome, attempt, number)

            if is_last:
                attributes |= _usage_attributes(usage, cost, outcome)

            tracing.end(
                Span(
                    trace_id=ids[0],
                    span_id=ids[2],
                    parent_id=ids[1],
                    name=_name_of(held, attempt),
                    kind="client",
                    start=start,
                    end=end,
                    attributes=attributes,
                    error=_error_of_try(outcome, attempt, is_last=is_last) or None,
                )
            )
            start = end


def _add_tokens(measures: _Measures, usage: TokenUsage) -> None:
    given, got = usage.input_tokens, usage.output_tokens

    if measures.input is not None and measures.output is not None:
        measures.input.value += given
        measures.output.value += got

    if measures.tokens_in is not None and measures.tokens_out is not None:
        measures.tokens_in.add(given)
        measures.tokens_out.add(got)


def _model_labels(
    record: CatalogRecord, served_by: str, backend: CatalogRecord | None, error: str
) -> dict[str, str]:
    labels = {
        "operation": _operation(record),
        "provider": provider_name(backend),
        "model": record.name,
        "served_by": served_by,
    }

    if error:
        labels["error"] = error

    return labels


def provider_name(backend: CatalogRecord | None) -> str:
    """Return what the conventions call a backend: its adapter's name."""
    spec = None if backend is None else backend.spec
    return spec.provider_type if isinstance(spec, ProviderSpec) else _OTHER


def _operation(record: CatalogRecord) -> str:
    return "embeddings" if getattr(record.spec, "model_type", "") == "embeddings" else "chat"


def _error_of(outcome: Outcome) -> str:
    if outcome.status is Status.OK:
        return ""

    return outcome.error_code or outcome.status.value


def _error_of_try(outcome: Outcome, attempt: Attempt | None, *, is_last: bool) -> str:
    if is_last:
        return _error_of(outcome)

    return "" if attempt is None or attempt.outcome == "ok" else attempt.outcome


def _name_of(held: OpenPermit, attempt: Attempt | None) -> str:
    record = held.permit.record
    method = _METHODS.get(record.kind)

    if method is not None:
        return f"{method} {record.name}"

    target = record.name if attempt is None else attempt.target
    return f"{_operation(record)} {target}"


def _attributes(
    held: OpenPermit, outcome: Outcome, attempt: Attempt | None, number: int
) -> dict[str, Attribute]:
    record, backend = held.permit.record, held.permit.backend
    found: dict[str, Attribute] = {
        semconv.GATEWAY_REQUEST: held.context.trace.request_id,
        semconv.GATEWAY_STATUS: outcome.status.value,
    }

    if record.module:
        found[semconv.GATEWAY_MODULE] = record.module

    if attempt is not None:
        found[semconv.GATEWAY_ATTEMPT] = number + 1

        if attempt.target != record.name:
            found[semconv.GATEWAY_FALLBACK] = record.name

    method = _METHODS.get(record.kind)

    if method is None:
        found |= {
            semconv.OPERATION_NAME: _operation(record),
            semconv.PROVIDER_NAME: provider_name(backend),
            semconv.REQUEST_MODEL: record.name,
            semconv.REQUEST_STREAM: outcome.stream,
        }
        return found

    found[semconv.MCP_METHOD] = method

    if record.kind is Kind.TOOL:
        found |= {semconv.OPERATION_NAME: "execute_tool", semconv.TOOL_NAME: record.name}
    elif record.kind is Kind.PROMPT:
        found[semconv.PROMPT_NAME] = record.name
    else:
        found[semconv.MCP_RESOURCE] = record.name

    if backend is not None and isinstance(backend.spec, GatewaySpec):
        found["network.transport"] = "pipe" if backend.spec.transport == "stdio" else "tcp"

    return found


def _usage_attributes(
    usage: TokenUsage | None, cost: float | None, outcome: Outcome
) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}

    if usage is not None:
        found[semconv.INPUT_TOKENS] = usage.input_tokens
        found[semconv.OUTPUT_TOKENS] = usage.output_tokens
        optional = {
            semconv.CACHE_READ: usage.cache_read_tokens,
            semconv.CACHE_WRITE: usage.cache_write_tokens,
            semconv.REASONING: usage.reasoning_tokens,
        }
        found |= {name: tokens for name, tokens in optional.items() if tokens}

    if cost is not None:
        found[semconv.GATEWAY_COST] = cost

    if outcome.stream and outcome.first_byte_ms is not None:
        found[semconv.FIRST_CHUNK] = outcome.first_byte_ms / 1000

    if outcome.served_by is not None:
        found[semconv.RESPONSE_MODEL] = outcome.served_by

    if outcome.finish_reasons:
        found["gen_ai.response.finish_reasons"] = list(outcome.finish_reasons)

    return found
