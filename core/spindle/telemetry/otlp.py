"""Sends spans and measures to a collector, with the OpenTelemetry SDK's own exporters.

The only file that imports the SDK; it is imported when a collector is configured. Exporters work in
threads of their own, and whatever a collector does, no request waits for it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread
import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from spindle.telemetry.semconv import (
    CONVENTIONS,
    ERROR_TYPE,
    EXCEPTION,
    EXCEPTION_TYPE,
    SCOPE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spindle.telemetry.metrics import Labels, Metrics, Series
    from spindle.telemetry.spans import Span

_LOG = structlog.get_logger("spindle.telemetry")
_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_TIMEOUT_SECONDS = 5.0
_QUEUED = 4096
"""Spans kept for a collector that does not answer; beyond it new ones are dropped."""


class _Exporter(Protocol):
    """The SDK's exporter of measures, as far as it is used here."""

    def export(self, metrics_data: MetricsData) -> MetricExportResult: ...

    def shutdown(self) -> None: ...


class Collector:
    """A configured collector."""

    def __init__(
        self,
        endpoint: str,
        *,
        service_name: str,
        headers: Mapping[str, str],
        export_seconds: float,
        metrics: Metrics | None,
    ) -> None:
        base = endpoint.rstrip("/")
        self._resource = Resource({"service.name": service_name})
        self._scope = InstrumentationScope(SCOPE)
        self._metrics = metrics
        self._seconds = export_seconds
        self._started = time.time_ns()
        self._is_failing = False
        exporter = OTLPSpanExporter(
            endpoint=f"{base}/v1/traces", headers=dict(headers), timeout=_TIMEOUT_SECONDS
        )
        self._processor = BatchSpanProcessor(
            exporter, max_queue_size=_QUEUED, schedule_delay_millis=export_seconds * 1000
        )
        self._metric_exporter: _Exporter = OTLPMetricExporter(
            endpoint=f"{base}/v1/metrics", headers=dict(headers), timeout=_TIMEOUT_SECONDS
        )

    def take(self, span: Span) -> None:
        """Queue a finished span."""
        trace_id, is_remote = int(span.trace_id, 16), span.kind == "server"
        parent = None

        if span.parent_id is not None:
            parent = SpanContext(trace_id, int(span.parent_id, 16), is_remote, _SAMPLED)

        status = Status(StatusCode.UNSET if span.error is None else StatusCode.ERROR)
        attributes = dict(span.attributes)

        events: list[Event] = []

        if span.error is not None:
            attributes[ERROR_TYPE] = span.error

        if span.error is not None and span.kind != "server":
            # Its code alone: what an upstream says of a failure is nobody's here.
            events.append(Event(EXCEPTION, {EXCEPTION_TYPE: span.error}, span.end))

        self._processor.on_end(
            ReadableSpan(
                name=span.name,
                context=SpanContext(
                    trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED
                ),
                parent=parent,
                resource=self._resource,
                attributes=attributes,
                events=events,
                kind=_KINDS[span.kind],
                status=status,
                start_time=span.start,
                end_time=span.end,
                instrumentation_scope=self._scope,
            )
        )

    async def run(self) -> None:
        """Send measures from time to time until cancelled."""
        while True:
            await anyio.sleep(self._seconds)
            await self._send_measures()

    async def close(self) -> None:
        """Send what is left, for a bounded time."""
        with anyio.CancelScope(shield=True):
            await self._send_measures()
            await anyio.to_thread.run_sync(self._processor.shutdown)
            await anyio.to_thread.run_sync(self._metric_exporter.shutdown)

    async def _send_measures(self) -> None:
        if self._metrics is None:
            return

        data = self._measures(self._metrics)
        sent = await anyio.to_thread.run_sync(self._metric_exporter.export, data)
        is_failing = sent is not MetricExportResult.SUCCESS

        if is_failing and not self._is_failing:
            _LOG.warning("the collector takes no measures, trying again")

        self._is_failing = is_failing

    def _measures(self, metrics: Metrics) -> MetricsData:
        now = time.time_ns()
        shown = [self._metric(series, now) for series in metrics.series()]
        scope = ScopeMetrics(scope=self._scope, metrics=shown, schema_url="")
        return MetricsData([ResourceMetrics(self._resource, [scope], schema_url="")])

    def _metric(self, series: Series, now: int) -> Metric:
        convention = CONVENTIONS.get(series.name)
        renamed = {} if convention is None else convention.labels
        cumulative = AggregationTemporality.CUMULATIVE
        data: Sum | Gauge | Histogram

        if series.kind == "histogram":
            points = [
                HistogramDataPoint(
                    attributes=_attributes(labels, renamed),
                    start_time_unix_nano=self._started,
                    time_unix_nano=now,
                    count=sum(counts),
                    sum=total,
                    bucket_counts=list(counts),
                    explicit_bounds=list(bounds),
                    # Not kept; the format takes infinities for "not known".
                    min=float("inf"),
                    max=float("-inf"),
                )
                for labels, bounds, counts, total in series.histograms
            ]
            data = Histogram(points, cumulative)
        else:
            numbers = [
                NumberDataPoint(_attributes(labels, renamed), self._started, now, value)
                for labels, value in series.numbers
            ]
            data = (
                Sum(numbers, cumulative, is_monotonic=True)
                if series.kind == "counter"
                else Gauge(numbers)
            )

        name, unit = (series.name, "") if convention is None else (convention.name, convention.unit)
        return Metric(name=name, description="", unit=unit, data=data)


def _attributes(labels: Labels, renamed: Mapping[str, str]) -> dict[str, str]:
    return {renamed.get(name, name): value for name, value in labels}


def parse_headers(text: str) -> dict[str, str]:
    """Return headers of the form `name=value,name=value`; what has no `=` is left out."""
    pairs: Iterable[tuple[str, str, str]] = (part.partition("=") for part in text.split(","))
    return {name.strip(): value.strip() for name, sign, value in pairs if sign and name.strip()}
