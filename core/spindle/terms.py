"""The terms of a decision's models, kept: they are the same for all its calls of one day."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from spindle.accounting import Term, is_priced, terms_of
from spindle_spi.records import CatalogRecord

_MOST_KNOWN: Final = 20_000
_DAY: Final = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a call of some models may use at most depends on this and on the call."""

    records: Sequence[CatalogRecord]
    """Kept, so that their place in memory stays theirs."""
    backends: Sequence[CatalogRecord | None]
    until: float
    every: tuple[Term, ...]
    priced: tuple[Term, ...]
    """Those of the models whose price is known."""
    unpriced: frozenset[str]
    """Ids of the other models."""


class KnownTerms:
    """Terms by the records of a decision, which are never changed."""

    def __init__(self) -> None:
        self._known: dict[int, Terms] = {}

    def of(
        self, records: Sequence[CatalogRecord], backends: Sequence[CatalogRecord | None]
    ) -> Terms:
        """Return the terms of models; `backends` are their providers."""
        place, now = id(records), time.time()
        known = self._known.get(place)

        if (
            known is not None
            and known.records is records
            and known.backends is backends
            and now < known.until
        ):
            return known

        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()

        pairs = [*zip_longest(records, backends)]
        priced = [pair for pair in pairs if is_priced(*pair)]
        known = self._known[place] = Terms(
            records=records,
            backends=backends,
            # Public prices may be others on another day.
            until=(now // _DAY + 1) * _DAY,
            every=terms_of(records, backends),
            priced=terms_of([one for one, _ in priced], [other for _, other in priced]),
            unpriced=frozenset(pair[0].id for pair in pairs if not is_priced(*pair)),
        )
        return known

    def forget(self) -> None:
        """Look again from now on."""
        self._known.clear()
