"""Request parameters the operator set for a model, where a request gives none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from spindle_spi.types import Json

_SAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""Two names of one parameter."""


def missing_defaults(defaults: Mapping[str, Json], given: Container[str]) -> dict[str, Json]:
    """Return the defaults that a request with these keys still needs."""
    return {
        name: value
        for name, value in defaults.items()
        if name not in given and _SAME.get(name, name) not in given
    }
