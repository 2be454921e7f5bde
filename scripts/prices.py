"""Writes `core/spindle/prices/table.json`: the prices that genai-prices has in its distribution.

The package itself takes two seconds and a hundred megabytes to import, for a table of which the
gateway needs a few numbers; so it is read here, never at run time. Nothing is fetched.

    python scripts/prices.py --write | --check
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from genai_prices import types
from genai_prices.data_snapshot import get_snapshot

if TYPE_CHECKING:
    from decimal import Decimal

TABLE = Path(__file__).resolve().parents[1] / "core/spindle/prices/table.json"
_UNITS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
}


def table() -> dict[str, object]:
    """Return the prices of tokens, of every provider there is."""
    providers = {
        provider.id: {
            "url": provider.api_pattern,
            "fallbacks": provider.fallback_model_providers or [],
            "models": [entry for model in provider.models if (entry := _model(model))],
        }
        for provider in get_snapshot().providers
    }
    return {"version": version("genai-prices"), "providers": providers}


def _model(model: types.ModelInfo) -> list[object] | None:
    """Return how a model is recognised, and its prices, each with the day it begins on."""
    prices = model.prices
    conditional = (
        [types.ConditionalPrice(prices=prices)] if isinstance(prices, types.ModelPrice) else prices
    )
    dated: list[list[object]] = []

    for entry in conditional:
        constraint = entry.constraint

        if isinstance(constraint, types.TimeOfDateConstraint):
            continue  # hours of the day: what is said without them holds

        begins = None if constraint is None else constraint.start_date.isoformat()
        dated.append([begins, _rates(entry.prices)])

    return [_match(model.match), dated] if any(rates for _, rates in dated) else None


def _rates(price: types.ModelPrice) -> dict[str, object]:
    values = vars(price)
    return {
        name: _rate(values[unit]) for name, unit in _UNITS.items() if values.get(unit) is not None
    }


def _rate(price: Decimal | types.TieredPrices) -> object:
    if not isinstance(price, types.TieredPrices):
        return float(price)

    return [float(price.base), *([tier.start, float(tier.price)] for tier in price.tiers)]


def _match(clause: object) -> object:
    match clause:
        case types.ClauseEquals(equals=text):
            return text
        case types.ClauseOr(or_=clauses):
            return {"or": [_match(entry) for entry in clauses]}
        case types.ClauseAnd(and_=clauses):
            return {"and": [_match(entry) for entry in clauses]}
        case types.ClauseStartsWith(starts_with=text):
            return {"starts": text}
        case types.ClauseEndsWith(ends_with=text):
            return {"ends": text}
        case types.ClauseContains(contains=text):
            return {"contains": text}
        case types.ClauseRegex(regex=text):
            return {"regex": text}
        case _:
            raise SystemExit(f"{clause!r} is of a kind this table has no word for.")


def main() -> None:
    """Write the table, or tell whether it is that of the installed package."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    text = json.dumps(table(), separators=(",", ":"), sort_keys=True) + "\n"

    if asked.write:
        TABLE.write_text(text)
    elif asked.check and TABLE.read_text() != text:
        sys.exit("core/spindle/prices/table.json is old: python scripts/prices.py --write")


if __name__ == "__main__":
    main()
