"""The prices of catalog records: their own first, and what they leave out from the price book.

A price is looked up once for a state of its record and its provider, and again on another day.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from spindle.prices.book import PriceBook
from spindle.prices.rates import Rates, flat
from spindle_spi.records import ModelSpec, ProviderSpec

if TYPE_CHECKING:
    from spindle_spi.records import CatalogRecord

_MOST_KNOWN: Final = 10_000
_DAY: Final = 24 * 3600


class RecordPrices:
    """Prices by record."""

    def __init__(self, book: PriceBook) -> None:
        self._book = book
        self._day = 0
        self._known: dict[str, tuple[CatalogRecord, CatalogRecord | None, Rates | None]] = {}

    def of(self, record: CatalogRecord, backend: CatalogRecord | None = None) -> Rates | None:
        """Return the prices of a model that a provider serves; None when nobody knows them."""
        known = self._known.get(record.id)

        # Records are never changed: another state of one is another object.
        if (
            known is not None
            and known[0] is record
            and known[1] is backend
            and self._day == time.time() // _DAY
        ):
            return known[2]

        return self._learn(record, backend)

    def _learn(self, record: CatalogRecord, backend: CatalogRecord | None) -> Rates | None:
        day = int(time.time() // _DAY)

        if day != self._day or len(self._known) >= _MOST_KNOWN:
            self._known.clear()
            self._day = day

        rates = self._find(record, backend)
        self._known[record.id] = (record, backend, rates)
        return rates

    def _find(self, record: CatalogRecord, backend: CatalogRecord | None) -> Rates | None:
        spec = record.spec

        if not isinstance(spec, ModelSpec):
            return None

        said = (spec.input_price, spec.output_price)
        # What only embeds gives no tokens back, so the price of its input is all there is.
        free_output = 0.0 if "embedding" in spec.supports and "chat" not in spec.supports else None
        given = free_output if said[1] is None else said[1]

        if said[0] is not None and given is not None:
            return _own(record, spec, said[0], given)

        provider = None if backend is None else backend.spec

        if not isinstance(provider, ProviderSpec):
            return None

        public = self._book.find(provider.provider_type, provider.urls, spec.upstream_name)

        if public is None or said == (None, None):
            return public

        return Rates(
            input=public.input if said[0] is None else flat(said[0]),
            output=public.output if said[1] is None else flat(said[1]),
            cache_read=_maybe(spec.cache_read_price) or public.cache_read,
            cache_write=_maybe(spec.cache_write_price) or public.cache_write,
            reasoning=None if said[1] is not None else public.reasoning,
            version=f"{_version(record)}, {public.version}",
        )


def _own(record: CatalogRecord, spec: ModelSpec, price: float, given: float) -> Rates:
    return Rates(
        input=flat(price),
        output=flat(given),
        cache_read=_maybe(spec.cache_read_price),
        cache_write=_maybe(spec.cache_write_price),
        version=_version(record),
    )


def _maybe(price: float | None) -> tuple[tuple[int, float], ...] | None:
    return None if price is None else flat(price)


def _version(record: CatalogRecord) -> str:
    return f"record {record.epoch}"


PRICES: Final = RecordPrices(PriceBook())
"""Of this process."""
