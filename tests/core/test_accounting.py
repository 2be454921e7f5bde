"""What a call costs: prices of input, output and what the provider keeps."""

from __future__ import annotations

import pytest

from spindle.accounting import cost_of, terms_of, worst_case
from spindle.config.budgets import BudgetSettings
from spindle.store.spending import Pair
from spindle_spi.admission import Estimate, TokenUsage
from spindle_spi.records import CatalogRecord, Kind, ModelSpec


def priced(read: float | None, write: float | None) -> CatalogRecord:
    spec = ModelSpec(
        provider="p",
        upstream_name="m",
        input_price=2.0,
        output_price=8.0,
        cache_read_price=read,
        cache_write_price=write,
    )
    return CatalogRecord(id="m", kind=Kind.MODEL, name="p~m", spec=spec)


@pytest.mark.parametrize(
    ("read", "write", "cost"),
    [
        (None, None, 1000 * 2.0),
        (0.5, None, 700 * 2.0 + 300 * 0.5),
        (None, 2.5, 800 * 2.0 + 200 * 2.5),
        (0.5, 2.5, 500 * 2.0 + 300 * 0.5 + 200 * 2.5),
        (0.0, 0.0, 500 * 2.0),
    ],
)
def test_cached_input_has_prices_of_its_own(
    read: float | None, write: float | None, cost: float
) -> None:
    """Cached tokens are a part of the input; without a price of their own they are plain input."""
    usage = TokenUsage(
        input_tokens=1000, output_tokens=100, cache_read_tokens=300, cache_write_tokens=200
    )
    found = cost_of(priced(read, write), usage)
    assert found == pytest.approx((cost + 800.0) / 1_000_000)


def test_more_cached_than_there_was_input_never_makes_money() -> None:
    """An upstream may say anything."""
    usage = TokenUsage(input_tokens=10, cache_read_tokens=10**9, cache_write_tokens=10**9)
    assert cost_of(priced(0.0, None), usage) == 0.0
    assert cost_of(priced(None, 0.0), usage) == pytest.approx(20.0 / 1_000_000)


def test_the_worst_case_takes_the_dearest_input() -> None:
    """What is kept for the first time may cost more than what is not."""
    estimate = Estimate(input_bytes=1_000_000, max_output_tokens=1)
    worst = worst_case(terms_of([priced(0.5, 2.5)]), estimate, BudgetSettings())
    assert worst == Pair(2_500_008_000, 1_000_001)
