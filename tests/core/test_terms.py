"""The terms of models that a decision names: learned once, and again when they may be others."""

from __future__ import annotations

from spindle.terms import KnownTerms
from spindle_spi.records import CatalogRecord, Kind, ModelSpec


def model(name: str, price: float | None = 1.0) -> CatalogRecord:
    spec = ModelSpec(provider="p", upstream_name=name, input_price=price, output_price=price)
    return CatalogRecord(id=name, kind=Kind.MODEL, name=name, spec=spec)


def test_the_terms_of_the_same_records_are_not_looked_up_again() -> None:
    """The records of a decision are never changed, so the same ones mean the same."""
    known, records, backends = KnownTerms(), (model("a"), model("b")), (None, None)
    terms = known.of(records, backends)
    assert known.of(records, backends) is terms
    assert [term.input_price for term in terms.every] == [1.0, 1.0]


def test_other_records_at_the_same_place_have_terms_of_their_own() -> None:
    """So have the same records with other providers, and those after everything was forgotten."""
    known, records, backends = KnownTerms(), [model("a")], [None]
    first = known.of(records, backends)
    second = known.of([model("a", 2.0)], backends)
    assert second.every[0].input_price == 2.0
    assert known.of(records, [None]) is not first
    known.forget()
    assert known.of(records, backends) is not first


def test_models_without_a_price_are_named() -> None:
    """And left out of the terms of those that have one."""
    terms = KnownTerms().of((model("a"), model("b", None)), (None, None))
    assert terms.unpriced == {"b"}
    assert (len(terms.every), len(terms.priced)) == (2, 1)
