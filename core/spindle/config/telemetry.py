"""`telemetry`: where traces and measures go. Nothing is sent, and nothing imported, by default."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spindle.config.sections import Seconds, Section, Text, Url


class TelemetrySettings(Section):
    """`telemetry`: OpenTelemetry over OTLP."""

    otlp_endpoint: Url | None = None
    """Base address of a collector; `/v1/traces` and `/v1/metrics` are added. None sends nothing."""
    otlp_headers_env_var: Text | None = None
    """Variable with headers for it: `name=value,name=value`."""
    service_name: Text = "spindle"
    sample_ratio: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.01
    """Share of the requests without a trace of their own that are traced."""
    trust_parent: bool = True
    """A client that says its call is sampled is believed."""
    export_seconds: Seconds = 10.0
    metrics: bool = True
