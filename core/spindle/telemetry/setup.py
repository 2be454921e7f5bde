"""Builds what traces and sends, from the settings: nothing at all when no collector is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.telemetry.spans import Tracing

if TYPE_CHECKING:
    from spindle.config.telemetry import TelemetrySettings
    from spindle.telemetry.metrics import Metrics
    from spindle.telemetry.otlp import Collector
    from spindle_spi.secret import Secret


def build_collector(
    settings: TelemetrySettings, headers: Secret | None, metrics: Metrics
) -> Collector | None:
    """Return the configured collector; the SDK is imported only for one."""
    if settings.otlp_endpoint is None:
        return None

    from spindle.telemetry.otlp import Collector, parse_headers

    return Collector(
        settings.otlp_endpoint,
        service_name=settings.service_name,
        headers={} if headers is None else parse_headers(headers.reveal()),
        export_seconds=settings.export_seconds,
        metrics=metrics if settings.metrics else None,
    )


def build_tracing(settings: TelemetrySettings, collector: Collector | None) -> Tracing | None:
    """Return what decides and makes spans; None without a collector."""
    if collector is None:
        return None

    return Tracing(
        collector, sample_ratio=settings.sample_ratio, trust_parent=settings.trust_parent
    )
