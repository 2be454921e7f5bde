"""What is embedded: inputs in their order, and the parameters that are the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from spindle_spi.errors import InvalidArgument
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Sequence

Input: TypeAlias = str | list[int]
"""A text, or the tokens of one."""

MAX_INPUTS = 16_384
"""Inputs of one request; more would be a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A request for embeddings."""

    inputs: tuple[Input, ...]
    parameters: JsonObject = field(default_factory=dict[str, Json])
    """What goes to the upstream beside model and input, `dimensions` included."""

    @property
    def dimensions(self) -> int | None:
        """The length of the vectors that is asked for; None leaves it to the model."""
        value = self.parameters.get("dimensions")
        return value if isinstance(value, int) else None


def inputs_of(value: Json) -> tuple[Input, ...]:
    """Return the inputs of a request: a text, texts, the tokens of one, or lists of tokens.

    Raises:
        InvalidArgument: It is none of these, or something in it is empty (POL-LLM-004).
    """
    if value is None:
        raise InvalidArgument("The request has no input.", code="llm.input.missing", param="input")

    if isinstance(value, str):
        entries: list[Json] = [value]
    elif not isinstance(value, list):
        raise _invalid()
    else:
        entries = [value] if value and _is_number(value[0]) else value

    if len(entries) > MAX_INPUTS:
        raise InvalidArgument(
            f"input has more than {MAX_INPUTS} entries.", code="llm.input.too_many", param="input"
        )

    if not entries or not all(entries):
        raise InvalidArgument(
            "input must not be empty (POL-LLM-004).", code="llm.input.empty", param="input"
        )

    return tuple(_input(entry, entries[0]) for entry in entries)


def size_of(inputs: Sequence[Input]) -> int:
    """Return how many bytes inputs have, a token counting as the four it stands for."""
    return sum(
        len(entry.encode()) if isinstance(entry, str) else 4 * len(entry) for entry in inputs
    )


def _input(entry: Json, first: Json) -> Input:
    if isinstance(entry, str) and isinstance(first, str):
        return entry

    if not isinstance(entry, list) or not isinstance(first, list):
        raise _invalid()

    tokens = [token for token in entry if _is_token(token)]

    if len(tokens) != len(entry):
        raise _invalid()

    return [token for token in tokens if isinstance(token, int)]


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_token(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _invalid() -> InvalidArgument:
    return InvalidArgument(
        "input must be a string, a list of strings, a list of tokens or a list of such lists.",
        code="llm.input.invalid",
        param="input",
    )
