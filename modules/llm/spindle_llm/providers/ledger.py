"""What becomes of each request parameter on the way to one upstream dialect.

Nothing is dropped silently: what an upstream has no word for is refused, or left out and named in
`x-spindle-dropped-params`.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from spindle_llm.providers.extensions import ANTHROPIC, lost_natives
from spindle_spi.errors import Unsupported

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_NEUTRAL: dict[str, tuple[Json, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "store": (False,),
    "parallel_tool_calls": (True,),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "tools": ([],),
    "functions": ([],),
    "metadata": ({},),
    "stop": ([],),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto", "none"),
    "function_call": ("auto", "none"),
    "verbosity": ("medium",),
}
"""Values that ask for nothing; leaving them out changes nothing.

A choice of tools is left out only where there are no tools."""


class Fate(StrEnum):
    """What becomes of a parameter."""

    PASSED = "passed"
    TRANSLATED = "translated"
    DROPPED = "dropped"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The fate of every parameter of a dialect, by the name the lingua franca gives it."""

    translated: Mapping[str, str] = field(default_factory=dict[str, str])
    """By name: what it becomes, for people to read."""
    dropped: AbstractSet[str] = frozenset()
    rejected: AbstractSet[str] = frozenset()
    passed: AbstractSet[str] = frozenset()
    """Named for people; without `others`, whatever is not listed anywhere is passed."""
    others: Fate = Fate.PASSED
    """Fate of the parameters nobody listed."""
    touched: frozenset[str] = field(init=False, default=frozenset())
    """The parameters that do not go on as they are: made once, looked at for every request."""

    def __post_init__(self) -> None:
        """Put together what is touched."""
        touched = frozenset((*self.translated, *self.dropped, *self.rejected))
        object.__setattr__(self, "touched", touched)

    def fate(self, name: str) -> Fate:
        """Return what becomes of a parameter."""
        if name in self.translated:
            return Fate.TRANSLATED

        if name in self.dropped:
            return Fate.DROPPED

        if name in self.rejected:
            return Fate.REJECTED

        return Fate.PASSED if name in self.passed else self.others

    def judge(self, request: JsonObject) -> tuple[JsonObject, tuple[str, ...]]:
        """Return what of a request goes on or is translated, and the names of what is dropped.

        Raises:
            Unsupported: A parameter asks for what the upstream cannot do.
        """
        kept: JsonObject = {}
        dropped: list[str] = []

        for name, value in request.items():
            fate = self.fate(name)

            if name == ANTHROPIC and fate is not Fate.TRANSLATED:
                dropped += lost_natives(value)
            elif fate in (Fate.PASSED, Fate.TRANSLATED):
                kept[name] = value
            elif asks_for_nothing(name, value):
                continue
            elif fate is Fate.REJECTED:
                raise unsupported(name)
            else:
                dropped.append(name)

        return kept, tuple(dropped)


def asks_for_nothing(name: str, value: Json) -> bool:
    """Tell whether leaving a parameter out changes nothing."""
    return value is None or any(
        value == neutral and isinstance(value, bool) == isinstance(neutral, bool)
        for neutral in _NEUTRAL.get(name, ())
    )


def unsupported(name: str, what: str = "") -> Unsupported:
    """Return the refusal of a parameter that the model's provider cannot honour."""
    return Unsupported(
        what or f"The provider of this model does not support {name!r}.",
        code="llm.parameter.unsupported",
        param=name,
    )
