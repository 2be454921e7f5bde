"""Which model a policy names for a kind of task: pure, for any rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_llm.routing.policy import (
    Reason,
    Resolution,
    RoutingPolicy,
    RoutingRule,
    cost_per_1k,
)
from spindle_spi.admission import Estimate
from spindle_spi.records import ModelSpec

pytestmark = pytest.mark.requirement("004-routing-policy")

CODE = RoutingRule(task_type="code", model="big", max_cost_per_1k=0.01, fallback="small")
POLICY = RoutingPolicy(rules=(CODE,), default="plain")

TYPES = st.sampled_from(["code", "chat", "sum"])
COSTS = st.none() | st.floats(0, 1, allow_nan=False)
RULES = st.builds(
    RoutingRule,
    task_type=TYPES,
    model=st.sampled_from(["a", "b", "c"]),
    max_cost_per_1k=COSTS,
    fallback=st.none() | st.sampled_from(["x", "y"]),
)
POLICIES = st.builds(
    RoutingPolicy,
    rules=st.lists(RULES, max_size=6).map(tuple),
    default=st.none() | st.just("d"),
)


def test_a_rule_that_matches_names_its_model() -> None:
    """At the cap too, and when nobody knows the cost."""
    wanted = Resolution(model="big", reason=Reason.RULE, rule=0)
    assert POLICY.resolve("code") == wanted
    assert POLICY.resolve("code", 0.01) == wanted


def test_above_the_cap_the_rules_fallback_answers() -> None:
    """It is said that the cost was why."""
    wanted = Resolution(model="small", reason=Reason.COST_CAP, rule=0)
    assert POLICY.resolve("code", estimated_cost_per_1k=0.011) == wanted


def test_above_the_cap_without_a_fallback_the_next_rule_is_tried() -> None:
    """And after the last one the default."""
    dear = RoutingRule(task_type="code", model="big", max_cost_per_1k=0.01)
    cheap = RoutingRule(task_type="code", model="small", max_cost_per_1k=0.1)
    policy = RoutingPolicy(rules=(dear, cheap), default="plain")
    assert policy.resolve("code", 0.05) == Resolution(model="small", reason=Reason.RULE, rule=1)
    assert policy.resolve("code", 5.0) == Resolution(model="plain", reason=Reason.DEFAULT)


def test_an_unknown_type_gets_the_default() -> None:
    """Without one it gets nothing; a type of a rule is known."""
    assert POLICY.resolve("poetry") == Resolution(model="plain", reason=Reason.DEFAULT)
    assert RoutingPolicy(rules=(CODE,)).resolve("poetry") is None
    assert POLICY.knows("code")
    assert not POLICY.knows("poetry")


def test_no_match_without_a_default_is_nothing() -> None:
    """A rule is for the type, and none is cheap enough."""
    rule = RoutingRule(task_type="code", model="big", max_cost_per_1k=0.01)
    assert RoutingPolicy(rules=(rule,)).resolve("code", 1.0) is None
    assert not RoutingPolicy()
    assert RoutingPolicy(default="d")


@given(POLICIES, TYPES, COSTS)
def test_what_is_named_is_the_first_that_holds(
    policy: RoutingPolicy, task_type: str, cost: float | None
) -> None:
    """No rule before it had a model, it is for the type, and no cap that was given is exceeded."""
    found = policy.resolve(task_type, cost)
    fitting = [
        (number, rule) for number, rule in enumerate(policy.rules) if rule.task_type == task_type
    ]

    def is_over(rule: RoutingRule) -> bool:
        return rule.max_cost_per_1k is not None and cost is not None and cost > rule.max_cost_per_1k

    if found is None or found.reason is Reason.DEFAULT:
        assert (None if found is None else found.model) == policy.default
        assert all(is_over(rule) and rule.fallback is None for _, rule in fitting)
        return

    assert found.rule is not None
    rule = policy.rules[found.rule]
    assert rule.task_type == task_type
    assert found.model == (rule.fallback if is_over(rule) else rule.model)
    earlier = [each for number, each in fitting if number < found.rule]
    assert all(is_over(each) and each.fallback is None for each in earlier)


def test_costs_come_from_the_records_prices() -> None:
    """Weighed by how much there is of input and output; unknown without any price."""
    spec = ModelSpec(provider="p", upstream_name="m", input_price=1.0, output_price=5.0)
    even = Estimate(input_bytes=400)
    assert cost_per_1k(spec, even) == pytest.approx(0.003)
    long = Estimate(input_bytes=400, max_output_tokens=300)
    assert cost_per_1k(spec, long) == pytest.approx(0.004)
    assert cost_per_1k(ModelSpec(provider="p", upstream_name="m"), even) is None
