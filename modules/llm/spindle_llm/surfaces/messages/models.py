"""Models as Anthropic's clients read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from spindle_spi.records import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject


def listed_models(records: Sequence[CatalogRecord]) -> JsonObject:
    """Return all of them as one page."""
    return {
        "data": [shown_model(record) for record in records],
        "has_more": False,
        "first_id": records[0].name if records else None,
        "last_id": records[-1].name if records else None,
    }


def shown_model(record: CatalogRecord) -> JsonObject:
    """Return one model."""
    spec = record.spec
    created = spec.created if isinstance(spec, ModelSpec) else 0
    model: JsonObject = {
        "type": "model",
        "id": record.name,
        "display_name": record.description or record.name,
        "created_at": datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }

    if isinstance(spec, ModelSpec):
        model["lifecycle"] = "deprecated" if spec.deprecated else "active"
        model["max_input_tokens"] = spec.context_window
        model["max_tokens"] = spec.max_output_tokens

    return model
