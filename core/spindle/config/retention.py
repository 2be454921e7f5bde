"""`retention`: how long the database keeps what grows."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spindle.config.sections import Count, Seconds, Section

Kept = Annotated[int, Field(ge=0)]


class RetentionSettings(Section):
    """`retention`; 0 keeps it for good."""

    audit_days: Kept = 180
    audit_rows: Kept = 1_000_000
    usage_days: Kept = 400
    every_seconds: Seconds = 3600.0
    batch_rows: Count = 500
