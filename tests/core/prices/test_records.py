"""The prices of records: their own, those of the book, and when they are looked up again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle.accounting import cost_of, is_priced, terms_of, worst_case
from spindle.config.budgets import BudgetSettings
from spindle.prices.book import PriceBook
from spindle.prices.rates import Rates, flat
from spindle.prices.records import RecordPrices
from spindle_spi.admission import Estimate, TokenUsage
from spindle_spi.records import CatalogRecord, Kind, ModelSpec, ProviderSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

USAGE = TokenUsage(input_tokens=1_000_000, output_tokens=1_000_000, cache_read_tokens=500_000)


def seller(kind: str = "openai", epoch: int = 1) -> CatalogRecord:
    """Return a provider."""
    spec = ProviderSpec(provider_type=kind)
    return CatalogRecord(id="p", kind=Kind.PROVIDER, name="up", spec=spec, epoch=epoch)


def sold(name: str = "gpt-4o", **prices: float) -> CatalogRecord:
    """Return a model, with prices of its own."""
    spec = ModelSpec(
        provider="up",
        upstream_name=name,
        input_price=prices.get("input"),
        output_price=prices.get("output"),
        cache_read_price=prices.get("cache_read"),
    )
    return CatalogRecord(id="m", kind=Kind.MODEL, name=f"up~{name}", spec=spec, epoch=3)


class CountingBook(PriceBook):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def find(
        self, provider_type: str, urls: Sequence[str], model: str, day: date | None = None
    ) -> Rates | None:
        self.asked += 1
        return super().find(provider_type, urls, model, day)


@pytest.mark.requirement("003-chat-cost")
@pytest.mark.parametrize(
    ("record", "cost", "version"),
    [
        (sold(), 2.5 + 10.0 - 0.5 * 1.25, PriceBook().version),
        (sold(input=1.0, output=2.0), 3.0, "record 3"),
        (sold(input=1.0, output=2.0, cache_read=0.5), 2.75, "record 3"),
        (sold(input=0.0, output=0.0), 0.0, "record 3"),
        (sold(output=1.0), 2.5 + 1.0 - 0.5 * 1.25, f"record 3, {PriceBook().version}"),
    ],
)
def test_a_records_own_prices_come_first(record: CatalogRecord, cost: float, version: str) -> None:
    """What it leaves out is the public price; the version says whose it was."""
    assert cost_of(record, USAGE, seller()) == pytest.approx(cost)
    rates = RecordPrices(PriceBook()).of(record, seller())
    assert rates is not None
    assert rates.version == version


def test_without_a_price_nothing_is_known() -> None:
    """A model of somebody's own machines is not free, and not dear: its cost is unknown."""
    assert cost_of(sold(), USAGE, seller("mock")) is None
    assert not is_priced(sold(), seller("mock"))
    assert is_priced(sold(), seller())
    assert not is_priced(sold())


def test_vectors_need_no_price_of_output() -> None:
    """A model that only embeds has a price by that of its input."""
    record = sold(input=0.02)
    assert isinstance(record.spec, ModelSpec)
    embeds = replace(record, spec=replace(record.spec, supports=("embedding",)))
    assert cost_of(embeds, TokenUsage(input_tokens=1_000_000)) == pytest.approx(0.02)
    assert cost_of(record, TokenUsage(input_tokens=1_000_000)) is None


def test_the_worst_case_is_at_the_same_prices() -> None:
    """What is reserved and what is settled come of the same table."""
    estimate = Estimate(input_bytes=1_000_000, max_output_tokens=1_000_000)
    worst = worst_case(terms_of([sold()], [seller()]), estimate, BudgetSettings())
    assert worst.nano == 12_500_000_000


def test_a_price_is_looked_up_once_for_a_state_of_its_record() -> None:
    """Another state of the record, or of its provider, is another look."""
    book = CountingBook()
    prices = RecordPrices(book)
    record, backend = sold(), seller()

    for _ in range(3):
        prices.of(record, backend)

    assert book.asked == 1
    prices.of(replace(record, epoch=4), backend)
    prices.of(record, seller(epoch=2))
    assert book.asked == 3


def test_tiers_hold_for_all_tokens_of_a_call() -> None:
    """Above a threshold of input every token costs the later price; the dearest is reserved."""
    rates = Rates(
        input=((0, 1.0), (100, 2.0)), output=flat(3.0), reasoning=flat(5.0), version="test"
    )
    assert rates.cost(TokenUsage(input_tokens=100)) == pytest.approx(100 / 1e6)
    assert rates.cost(TokenUsage(input_tokens=101)) == pytest.approx(202 / 1e6)
    thoughts = TokenUsage(output_tokens=10, reasoning_tokens=4)
    assert rates.cost(thoughts) == pytest.approx((6 * 3 + 4 * 5) / 1e6)
    assert (rates.dearest_input, rates.dearest_output) == (2.0, 5.0)
