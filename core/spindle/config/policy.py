"""`policy`: the gateway every request passes, and the decision point outside that it may ask."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from spindle.config.sections import Count, Seconds, Section, Text, Url
from spindle_spi.policy import Action
from spindle_spi.records import Kind


class DecisionPointSettings(Section):
    """`policy.decision_point`: an AuthZEN decision point."""

    url: Url
    timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 1.0
    cache_seconds: Annotated[float, Field(ge=0, le=300)] = 5.0
    """0 asks every time."""
    cache_size: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    token_env_var: Text | None = None
    token_file: Text | None = None
    actions: tuple[Action, ...] | None = None
    """None means all."""
    kinds: tuple[Kind, ...] | None = None
    """None means all."""
    breaker_failures: Count = 5
    breaker_seconds: Seconds = 10.0


class PolicySettings(Section):
    """`policy`."""

    bypass: bool = False
    """Development only: the decision point outside is not asked."""
    decision_point: DecisionPointSettings | None = None
