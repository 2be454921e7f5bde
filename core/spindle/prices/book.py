"""The table of public prices, read when the first price is looked up in it; nothing is fetched.

It is made of the data in the distribution of genai-prices (MIT) by `scripts/prices.py`.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from spindle.prices.rates import Rates, Steps, flat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from spindle_spi.types import Json, JsonObject

TABLE: Final = Path(__file__).with_name("table.json")
PROVIDERS: Final = {
    "anthropic": "anthropic",
    "azure": "azure",
    "azure_openai": "azure",
    "bedrock": "aws",
    "cerebras": "cerebras",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "google": "google",
    "groq": "groq",
    "mistral": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "vertex_ai": "google",
    "xai": "x-ai",
}
"""Provider types with a price list, and whose it is. The others run on somebody's own machines, or
are recognised by their address."""

BY_ADDRESS: Final = frozenset({"litellm", "openai_compatible"})
_COMPACT_DATE: Final = re.compile(r"-(20\d{2})(\d{2})(\d{2})(?=-|:|$)")


class PriceBook:
    """Looks up prices by type and addresses of a provider, and a model's upstream name."""

    def __init__(self, table: Path = TABLE) -> None:
        self._path = table

    @cached_property
    def _table(self) -> JsonObject:
        table: JsonObject = json.loads(self._path.read_text())
        return table

    @cached_property
    def _lists(self) -> dict[str, JsonObject]:
        lists = self._table["providers"]
        assert isinstance(lists, dict)
        return {name: entry for name, entry in lists.items() if isinstance(entry, dict)}

    @property
    def version(self) -> str:
        """Which edition of the prices it has."""
        return f"genai-prices {self._table['version']}"

    def find(
        self, provider_type: str, urls: Sequence[str], model: str, day: date | None = None
    ) -> Rates | None:
        """Return the prices of a day, by default this one; None when nobody has told them."""
        seller = PROVIDERS.get(provider_type)

        if seller is None and provider_type in BY_ADDRESS and urls:
            seller = self._seller_at(urls[0])

        if seller is None:
            return None

        model = model.lower()
        dated = self._match(seller, model) or self._match(seller, _spelt_out(model))
        return None if dated is None else self._rates(dated, day or datetime.now(UTC).date())

    def _seller_at(self, url: str) -> str | None:
        for name, entry in self._lists.items():
            if re.match(str(entry["url"]), url):
                return name

        return None

    def _match(self, seller: str, model: str) -> list[Json] | None:
        fallbacks = self._lists[seller]["fallbacks"]
        assert isinstance(fallbacks, list)

        for name in (seller, *fallbacks):
            models = self._lists[str(name)]["models"]

            for entry in models if isinstance(models, list) else ():
                if isinstance(entry, list) and _holds(entry[0], model):
                    dated = entry[1]
                    return dated if isinstance(dated, list) else None

        return None

    def _rates(self, dated: list[Json], day: date) -> Rates | None:
        found: Json = None

        for entry in dated:
            if isinstance(entry, list) and (entry[0] is None or str(entry[0]) <= day.isoformat()):
                found = entry[1]

        # Without a price for what goes in there is none for a call; vectors have no output.
        if not isinstance(found, dict) or "input" not in found:
            return None

        steps = {name: _steps(value) for name, value in found.items()}
        return Rates(
            input=steps["input"],
            output=steps.get("output", flat(0.0)),
            cache_read=steps.get("cache_read"),
            cache_write=steps.get("cache_write"),
            reasoning=steps.get("reasoning"),
            version=self.version,
        )


def _steps(value: Json) -> Steps:
    if isinstance(value, int | float):
        return flat(float(value))

    assert isinstance(value, list)
    steps: list[tuple[int, float]] = []

    for entry in value:
        if isinstance(entry, int | float):
            steps.append((0, float(entry)))
        elif isinstance(entry, list) and isinstance(start := entry[0], int | float):
            price = entry[1]
            assert isinstance(price, int | float)
            steps.append((int(start), float(price)))

    return tuple(steps)


def _holds(rule: Json, model: str) -> bool:
    if isinstance(rule, str):
        return rule == model

    if not isinstance(rule, dict):
        return False

    [(kind, value)] = rule.items()

    if isinstance(value, list):
        found = (_holds(entry, model) for entry in value)
        return any(found) if kind == "or" else all(found)

    return _SAYS[kind](model, str(value))


_SAYS: Final[dict[str, Callable[[str, str], bool]]] = {
    "starts": str.startswith,
    "ends": str.endswith,
    "contains": str.__contains__,
    "regex": lambda model, pattern: re.search(pattern, model) is not None,
}


def _spelt_out(model: str) -> str:
    """Return a model's name with its date as price lists write it: 2025-12-11 for 20251211."""
    return _COMPACT_DATE.sub(r"-\1-\2-\3", model)
