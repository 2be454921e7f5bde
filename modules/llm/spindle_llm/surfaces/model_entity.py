"""`LLMModel`: a model as its service shows it, every field of the requirement's entity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_spi.records import ModelSpec

if TYPE_CHECKING:
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject

SERVING: Final = frozenset({"unknown", "loaded", "not_loaded"})
"""States of a model that answers now; one that is not loaded is, at its first request."""


def model_shown(record: CatalogRecord, provider: CatalogRecord, *, is_up: bool) -> JsonObject:
    """Return a model as JSON; `is_up` tells whether its service is there."""
    spec = record.spec
    assert isinstance(spec, ModelSpec)
    facts = spec.facts
    flags: list[Json] = [*spec.supports]
    return {
        "name": record.name,
        "upstream_model_name": spec.upstream_name,
        "type": spec.model_type,
        "state": spec.state,
        "description": record.description,
        "publisher": facts.publisher,
        "modified_at": facts.modified_at,
        "architecture": facts.architecture,
        "quantization": facts.quantization,
        "max_tokens": spec.context_window,
        "max_output_tokens": spec.max_output_tokens,
        "dimensions": spec.dimensions,
        "size": facts.size,
        "parameters": facts.parameters,
        "streaming": "streaming" in spec.supports,
        "instructed": facts.instructed,
        "coding": facts.coding,
        "tooling": "function_calling" in spec.supports,
        "is_mlx": facts.is_mlx,
        "is_gguf": facts.is_gguf,
        "feature_flags": flags,
        "service": provider.name,
        "runtime_name": facts.runtime,
        "file_path": facts.file_path,
        "is_available": record.enabled and is_up and spec.state in SERVING,
    }
