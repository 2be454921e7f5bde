"""Addresses take turns; one that cannot be reached is passed over for a while."""

from __future__ import annotations

import pytest

from spindle_llm.routing.addresses import COOLDOWN, Addresses

pytestmark = pytest.mark.requirement("001-urls-balance")


def test_they_take_turns() -> None:
    """One after the other."""
    addresses = Addresses(3)
    assert [addresses.next(0.0) for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_one_that_was_not_reached_is_passed_over_until_it_has_cooled_down() -> None:
    """Or until it was reached after all."""
    addresses = Addresses(2)
    addresses.failed(0, 0.0)
    assert [addresses.next(1.0) for _ in range(4)] == [1, 1, 1, 1]
    assert {addresses.next(COOLDOWN) for _ in range(4)} == {0, 1}
    addresses.failed(0, 20.0)
    addresses.reached(0)
    assert {addresses.next(21.0) for _ in range(4)} == {0, 1}


def test_when_none_was_reached_it_is_the_one_that_failed_first() -> None:
    """Somebody has to be tried."""
    addresses = Addresses(3)
    addresses.failed(1, 0.0)
    addresses.failed(2, 1.0)
    addresses.failed(0, 2.0)
    assert [addresses.next(3.0) for _ in range(3)] == [1, 1, 1]
