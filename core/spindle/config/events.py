"""The section `events`: where events about calls go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from spindle.config.sections import Seconds, Section, Text, refuse


def _check_nats(value: str) -> str:
    if not value.startswith(("nats://", "tls://")):
        raise refuse("is not a NATS URL", "nats://HOST[:PORT] or tls://HOST[:PORT]")

    return value


class EventSettings(Section):
    """`events`."""

    backend: Literal["none", "memory", "nats"] = "none"
    nats_url: Annotated[str, AfterValidator(_check_nats)] = Field(
        default="nats://127.0.0.1:4222", repr=False
    )
    stream: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "spindle"
    subject_prefix: str = ""
    source: Text = "/gateway/spindle/llm"
    keep_hours: Seconds = 72.0
