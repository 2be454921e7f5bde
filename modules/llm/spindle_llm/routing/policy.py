"""Which model answers which kind of task: `RoutingPolicy` and `RoutingRule`. Pure.

The rules are tried in order. One is for a task type, and may have a cap on what a model costs for
1,000 tokens; above it the rule's own fallback answers, and without one the next rule is tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.admission import Estimate
    from spindle_spi.records import ModelSpec

_BYTES_PER_TOKEN = 4


class Reason(StrEnum):
    """Why the policy names a model."""

    RULE = "rule"
    COST_CAP = "cost_cap"
    """The rule's own model costs too much; this is its fallback."""
    DEFAULT = "default"
    """No rule is for this task, or each that is has a cap below the cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The model a policy names."""

    model: str
    reason: Reason
    rule: int | None = None
    """Which rule, counted from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """One kind of task, and the model that answers it."""

    task_type: str
    model: str
    max_cost_per_1k: float | None = None
    """US dollars for 1,000 tokens; None is any."""
    fallback: str | None = None
    """Answers when the model costs more."""

    def choose(self, estimated_cost_per_1k: float | None = None) -> tuple[str, Reason] | None:
        """Return the model of this rule at a cost; None when the rule has none that cheap.

        A cost nobody knows is under any cap.
        """
        cap, cost = self.max_cost_per_1k, estimated_cost_per_1k

        if cap is None or cost is None or cost <= cap:
            return self.model, Reason.RULE

        return None if self.fallback is None else (self.fallback, Reason.COST_CAP)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingPolicy:
    """All rules, and the model of tasks that none is for."""

    rules: tuple[RoutingRule, ...] = ()
    default: str | None = None

    def __bool__(self) -> bool:
        return bool(self.rules) or self.default is not None

    def knows(self, task_type: str) -> bool:
        """Tell whether a rule is for this kind of task."""
        return any(rule.task_type == task_type for rule in self.rules)

    def rules_for(self, task_type: str) -> Iterator[tuple[int, RoutingRule]]:
        """Yield the rules for a kind of task with their numbers, in order."""
        for number, rule in enumerate(self.rules):
            if rule.task_type == task_type:
                yield number, rule

    def resolve(
        self, task_type: str, estimated_cost_per_1k: float | None = None
    ) -> Resolution | None:
        """Return the model for a kind of task; None when neither a rule nor a default has one."""
        for number, rule in self.rules_for(task_type):
            chosen = rule.choose(estimated_cost_per_1k)

            if chosen is not None:
                model, reason = chosen
                return Resolution(model=model, reason=reason, rule=number)

        if self.default is None:
            return None

        return Resolution(model=self.default, reason=Reason.DEFAULT)


def cost_per_1k(spec: ModelSpec, estimate: Estimate) -> float | None:
    """Return what 1,000 tokens of a call cost at a model's prices; None when it has none.

    Input and output weigh as much as the call is estimated to have of each; of an answer whose
    length nobody bounds, as much as its input.
    """
    if spec.input_price is None and spec.output_price is None:
        return None

    tokens_in = max(1, estimate.input_bytes // _BYTES_PER_TOKEN)
    tokens_out = (estimate.max_output_tokens or tokens_in) * estimate.choices
    dollars = tokens_in * (spec.input_price or 0.0) + tokens_out * (spec.output_price or 0.0)
    return dollars / (tokens_in + tokens_out) / 1000
