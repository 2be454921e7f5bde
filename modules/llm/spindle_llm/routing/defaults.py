"""Request parameters set where a request gives none: a model's, its provider's, everybody's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from spindle_llm.settings import LlmSettings
    from spindle_spi.records import ModelSpec, ProviderSpec
    from spindle_spi.types import Json

_SAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""Two names of one parameter."""

_REASONING: Final = re.compile(r"(?:.*/)?(?:o[1-9](?![a-z0-9])|gpt-5(?!-chat))")
"""Models that refuse a temperature, and `max_tokens` under its old name."""


def missing_defaults(defaults: Mapping[str, Json], given: Container[str]) -> dict[str, Json]:
    """Return the defaults that a request with these keys still needs; a null sets nothing."""
    return {
        name: value
        for name, value in defaults.items()
        if value is not None and name not in given and _SAME.get(name, name) not in given
    }


def defaults_for(
    spec: ModelSpec, provider: ProviderSpec, settings: LlmSettings
) -> Mapping[str, Json]:
    """Return the defaults of one model: its own, its provider's, and of `llm` what both leave."""
    own: Mapping[str, Json] = spec.defaults

    if provider.defaults:
        own = _over(own, provider.defaults)

    if not settings.has_defaults or "chat" not in spec.supports:
        return own

    return _over(own, _common(spec, settings))


def _over(nearer: Mapping[str, Json], farther: Mapping[str, Json]) -> dict[str, Json]:
    rest = {
        name: value
        for name, value in farther.items()
        if name not in nearer and _SAME.get(name, name) not in nearer
    }
    return {**rest, **nearer}


def _common(spec: ModelSpec, settings: LlmSettings) -> dict[str, Json]:
    """Return what `llm` says, as far as the model takes it."""
    is_reasoning = _REASONING.match(spec.upstream_name) is not None
    tokens = settings.max_tokens

    if tokens is not None and spec.max_output_tokens is not None:
        tokens = min(tokens, spec.max_output_tokens)

    return {
        "temperature": None if is_reasoning else settings.temperature,
        "max_completion_tokens" if is_reasoning else "max_tokens": tokens,
    }
