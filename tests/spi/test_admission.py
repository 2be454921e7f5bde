"""Limits of a call, and the receipts without which it did not go well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle_spi.admission import Limits, Outcome, Permit, Status, is_unhooked, limits_of
from spindle_spi.plugin import HookPhase, HookPlan
from spindle_spi.records import CatalogRecord, GatewaySpec, Kind, ProviderSpec, ToolSpec

TOOL = CatalogRecord(id="1", kind=Kind.TOOL, name="t", spec=ToolSpec())
PERMIT = Permit(id="p", lease_id="l", record=TOOL, hooks=HookPlan(request=("a",), answer=("b",)))
OK = Outcome(status=Status.OK)
BOTH = frozenset({HookPhase.PRE_INVOKE, HookPhase.POST_INVOKE})


def test_limits_are_those_of_the_backend() -> None:
    """Only a provider's model is tried again; what nothing serves has none."""
    provider = ProviderSpec(provider_type="openai", long_timeout=7.0)
    gateway = GatewaySpec(transport="stdio", timeout=3.0)
    assert limits_of(replace(TOOL, spec=provider), 2) == Limits(timeout=7.0, max_attempts=2)
    assert limits_of(replace(TOOL, spec=gateway), 2) == Limits(timeout=3.0)
    assert limits_of(TOOL, 2) == limits_of(None, 2) == Limits()


@pytest.mark.parametrize(
    ("hooks", "receipts", "expected"),
    [
        (PERMIT.hooks, BOTH, False),
        (PERMIT.hooks, frozenset({HookPhase.PRE_INVOKE}), True),
        (PERMIT.hooks, frozenset({HookPhase.POST_INVOKE}), True),
        (PERMIT.hooks, frozenset({HookPhase.PRE_FETCH, HookPhase.POST_FETCH}), True),
        (HookPlan(request=("a",)), frozenset({HookPhase.PRE_INVOKE}), False),
        (HookPlan(), frozenset[HookPhase](), False),
    ],
)
def test_every_phase_with_plugins_leaves_a_receipt(
    hooks: HookPlan, receipts: frozenset[HookPhase], expected: bool
) -> None:
    """A phase of another kind of call is no substitute."""
    assert is_unhooked(replace(PERMIT, hooks=hooks), OK, receipts) is expected


def test_only_a_call_that_went_well_needs_receipts() -> None:
    """So does none of a kind that carries no content."""
    assert not is_unhooked(PERMIT, Outcome(status=Status.ERROR), frozenset())
    gateway = replace(TOOL, kind=Kind.GATEWAY)
    assert not is_unhooked(replace(PERMIT, record=gateway), OK, frozenset())
