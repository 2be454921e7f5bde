"""What the core tells of every settled call: measures by the conventions, log lines, and spans.

Models are measured twice: as a client measures, for each question to an upstream, and as a server
does, for the call as whoever made it saw it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from spindle.telemetry import semconv
from spindle.telemetry.attempts import OK, asked_by, attempts_of, operation_of, provider_name
from spindle.telemetry.call_logs import CallLog
from spindle.telemetry.call_spans import METHODS, SettledCall, error_of, spans_of
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from spindle.admission import OpenPermit
    from spindle.telemetry.metrics import Counter, Metrics, Values
    from spindle.telemetry.spans import Tracing
    from spindle_spi.admission import Attempt, Outcome, Permit, Status, TokenUsage

_Place: TypeAlias = "tuple[Kind, str, str | None, str | None, Status, str | None, bool, bool]"
"""What tells the measures of two calls apart."""
_AttemptPlace: TypeAlias = "tuple[str, str, str]"
"""What tells the measures of two attempts apart."""

CALLS = "spindle_calls_total"
CALL_INPUT = "spindle_input_tokens_total"
CALL_OUTPUT = "spindle_output_tokens_total"

_MAX_KNOWN = 2000


class _Measures:
    """The counters and histograms of calls that differ in nothing that is a label."""

    __slots__ = ("calls", "first_token", "input", "output", "output_token", "seconds")

    def __init__(self, calls: Counter) -> None:
        self.calls = calls
        self.input: Counter | None = None
        self.output: Counter | None = None
        self.seconds: Values | None = None
        self.first_token: Values | None = None
        self.output_token: Values | None = None


class _AttemptMeasures:
    """The histograms of attempts that differ in nothing that is a label."""

    __slots__ = ("_labels", "_metrics", "first_chunk", "seconds", "tokens_in", "tokens_out")

    def __init__(self, metrics: Metrics, permit: Permit, attempt: Attempt) -> None:
        asked = asked_by(permit, attempt)
        self._metrics = metrics
        self._labels = {
            "operation": asked.operation,
            "provider": asked.provider,
            "model": asked.model,
        }
        error = {} if attempt.outcome == OK else {"error": attempt.outcome}
        self.seconds = metrics.histogram(semconv.OPERATION_SECONDS, self._labels | error)
        self.first_chunk: Values | None = None
        self.tokens_in: Values | None = None
        self.tokens_out: Values | None = None

    def add_tokens(self, usage: TokenUsage) -> None:
        if self.tokens_in is None or self.tokens_out is None:
            name, labels = semconv.TOKEN_USAGE, self._labels
            self.tokens_in = self._metrics.histogram(name, labels | {"type": "input"})
            self.tokens_out = self._metrics.histogram(name, labels | {"type": "output"})

        self.tokens_in.add(usage.input_tokens)
        self.tokens_out.add(usage.output_tokens)

    def add_first_chunk(self, seconds: float) -> None:
        if self.first_chunk is None:
            self.first_chunk = self._metrics.histogram(semconv.FIRST_CHUNK_SECONDS, self._labels)

        self.first_chunk.add(seconds)


class CallObserver:
    """Measures and traces calls as they are settled; `tracing` is None when nothing is traced."""

    def __init__(
        self, metrics: Metrics, tracing: Tracing | None = None, log: CallLog | None = None
    ) -> None:
        self.tracing = tracing
        self._metrics = metrics
        self._log = CallLog() if log is None else log
        self._known: dict[_Place, _Measures] = {}
        self._known_attempts: dict[_AttemptPlace, _AttemptMeasures] = {}

    def observe(
        self, held: OpenPermit, outcome: Outcome, usage: TokenUsage | None, cost: float | None
    ) -> None:
        """Take note of a call that ends now."""
        permit = held.permit
        record, backend = permit.record, permit.backend
        first = outcome.first_byte_ms if outcome.stream else None
        place = (
            record.kind,
            record.name,
            outcome.served_by,
            None if backend is None else backend.name,
            outcome.status,
            outcome.error_code,
            usage is not None,
            first is not None,
        )
        measures = self._known.get(place) or self._measures(place, permit, outcome)
        measures.calls.value += 1

        if measures.seconds is not None:
            measures.seconds.add(outcome.total_ms / 1000)

        if usage is not None and measures.input is not None and measures.output is not None:
            measures.input.value += usage.input_tokens
            measures.output.value += usage.output_tokens

        if first is not None:
            _add_stream(measures, outcome.total_ms, first, usage)

        if record.kind is Kind.MODEL:
            self._add_attempts(held, outcome, usage, first)

        log = self._log

        if log.is_heard():
            log.write(held, outcome)

        if self.tracing is not None and held.context.trace.traceparent is not None:
            call = SettledCall(held, outcome, usage, cost)

            for span in spans_of(call):
                self.tracing.end(span)

    def _add_attempts(
        self, held: OpenPermit, outcome: Outcome, usage: TokenUsage | None, first: float | None
    ) -> None:
        permit = held.permit
        attempts = outcome.attempts or attempts_of(permit, outcome)
        known, failing, before = self._known_attempts, self._log.failing, 0.0

        for attempt in attempts:
            place = (attempt.backend, attempt.target, attempt.outcome)
            measures = known.get(place) or self._attempt_measures(place, permit, attempt)
            seconds = attempt.milliseconds / 1000
            before += attempt.waited_ms / 1000

            if attempt is attempts[-1]:
                # Its own time ends where its stream begins.
                if first is not None:
                    seconds = max(seconds, outcome.total_ms / 1000 - before)
                    measures.add_first_chunk(max(0.0, first / 1000 - before))

                if usage is not None:
                    measures.add_tokens(usage)

            measures.seconds.add(seconds)
            before += seconds

            # The usual case costs one look-up: it goes well, and nobody ever said otherwise.
            if attempt.outcome != OK or attempt.backend in failing:
                self._log.note(held.context.trace.request_id, attempt)

    def _attempt_measures(
        self, place: _AttemptPlace, permit: Permit, attempt: Attempt
    ) -> _AttemptMeasures:
        # Outcomes come from a module: what is kept of them is bounded.
        if len(self._known_attempts) >= _MAX_KNOWN:
            self._known_attempts.clear()

        measures = _AttemptMeasures(self._metrics, permit, attempt)
        self._known_attempts[place] = measures
        return measures

    def _measures(self, place: _Place, permit: Permit, outcome: Outcome) -> _Measures:
        *_, has_usage, is_timed = place
        metrics, record = self._metrics, permit.record
        kind = {"kind": record.kind.value}
        measures = _Measures(metrics.counter(CALLS, kind | {"status": outcome.status.value}))
        error = error_of(outcome)
        failed = {"error": error} if error else {}

        if has_usage:
            measures.input = metrics.counter(CALL_INPUT, kind)
            measures.output = metrics.counter(CALL_OUTPUT, kind)

        if record.kind is Kind.MODEL:
            labels = {
                "operation": operation_of(record),
                "provider": provider_name(permit.backend),
                "model": record.name,
                "served_by": _known_name(permit, outcome.served_by),
            }
            labels |= failed
            measures.seconds = metrics.histogram(semconv.REQUEST_SECONDS, labels)

            if is_timed:
                measures.first_token = metrics.histogram(semconv.FIRST_TOKEN_SECONDS, labels)
                measures.output_token = metrics.histogram(semconv.OUTPUT_TOKEN_SECONDS, labels)
        elif record.kind in METHODS:
            labels = {"method": METHODS[record.kind]} | failed
            measures.seconds = metrics.histogram(semconv.MCP_SECONDS, labels)

        # Error codes may come from a module: what is kept of them is bounded.
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()

        self._known[place] = measures
        return measures


def _add_stream(
    measures: _Measures, total_ms: float, first_ms: float, usage: TokenUsage | None
) -> None:
    if measures.first_token is None or measures.output_token is None:
        return

    measures.first_token.add(first_ms / 1000)

    if usage is not None and usage.output_tokens > 1:
        tokens = usage.output_tokens - 1
        measures.output_token.add(max(0.0, total_ms - first_ms) / 1000 / tokens)


def _known_name(permit: Permit, served_by: str | None) -> str:
    """Return who answered, if the permit knows it: a label is never a free text."""
    if served_by is None or served_by == permit.record.name:
        return permit.record.name

    names = {alternative.name for alternative in permit.alternatives}
    return served_by if served_by in names else semconv.OTHER
