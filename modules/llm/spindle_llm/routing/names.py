"""What a client's word for a model may stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spindle_llm.settings import LlmSettings


def model_names(name: str, settings: LlmSettings) -> tuple[str, ...]:
    """Return the names to look for, in order: in the default service first, then as it stands."""
    if settings.default_service is None or "~" in name:
        return (name,)

    return f"{settings.default_service}~{name}", name
