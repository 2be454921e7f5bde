"""What a million tokens of each sort cost, and what a call's tokens cost by that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from spindle_spi.admission import TokenUsage

Steps: TypeAlias = tuple[tuple[int, float], ...]
"""US dollars for a million tokens, each from a number of input tokens on; the first from 0 on."""


def flat(price: float) -> Steps:
    """Return a price that is the same for every call."""
    return ((0, price),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The prices of a model."""

    input: Steps
    output: Steps
    cache_read: Steps | None = None
    """None is `input`, as below."""
    cache_write: Steps | None = None
    reasoning: Steps | None = None
    """Of output tokens that are thoughts; None is `output`."""
    version: str
    """Whose prices these are, for who checks a bill."""

    def cost(self, usage: TokenUsage) -> float:
        """Return US dollars for what a call used."""
        tokens = usage.input_tokens
        price = _at(self.input, tokens)
        given = _at(self.output, tokens)
        spent = tokens * price + usage.output_tokens * given

        if usage.cache_read_tokens or usage.cache_write_tokens:
            spent += self._cached(price, usage)

        if self.reasoning is not None and usage.reasoning_tokens:
            thoughts = min(usage.reasoning_tokens, usage.output_tokens)
            spent += thoughts * (_at(self.reasoning, tokens) - given)

        return spent / 1_000_000

    @property
    def dearest_input(self) -> float:
        """The most that a million input tokens may cost, kept by the provider or not."""
        return max(_dearest(self.input), _dearest(self.cache_read), _dearest(self.cache_write))

    @property
    def dearest_output(self) -> float:
        """The most that a million output tokens may cost."""
        return max(_dearest(self.output), _dearest(self.reasoning))

    def _cached(self, price: float, usage: TokenUsage) -> float:
        """Return what cached tokens, a part of the input, cost more or less than the rest."""
        tokens = usage.input_tokens
        read = min(usage.cache_read_tokens, tokens)
        written = min(usage.cache_write_tokens, tokens - read)
        difference = 0.0

        if self.cache_read is not None:
            difference += read * (_at(self.cache_read, tokens) - price)

        if self.cache_write is not None:
            difference += written * (_at(self.cache_write, tokens) - price)

        return difference


def _at(steps: Steps, tokens: int) -> float:
    """Return the price for a call of so many input tokens: a step holds for all of them."""
    price = steps[0][1]

    if len(steps) > 1:
        for start, later in steps[1:]:
            if tokens > start:
                price = later

    return price


def _dearest(steps: Steps | None) -> float:
    return max((price for _, price in steps), default=0.0) if steps else 0.0
