"""Writes `llm_models` and `llm_service_configs` from catalog records, and nothing else does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert

from spindle.store.tables import LLM_MODELS, LLM_SERVICE_CONFIGS
from spindle_spi.records import CatalogRecord, ModelSpec, ProviderSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection


async def project(connection: AsyncConnection, record: CatalogRecord) -> None:
    """Write a record's row anew, inside the transaction that writes the record."""
    match record.spec:
        case ModelSpec():
            table, columns = LLM_MODELS, _model_columns(record, record.spec)
        case ProviderSpec():
            table, columns = LLM_SERVICE_CONFIGS, _service_columns(record, record.spec)
        case _:
            return

    await connection.execute(delete(table).where(table.c.record_id == record.id))
    await connection.execute(insert(table).values(record_id=record.id, **columns))


def _model_columns(record: CatalogRecord, spec: ModelSpec) -> Mapping[str, object]:
    facts = spec.facts
    return {
        "type": spec.model_type,
        "state": spec.state,
        "description": record.description,
        "publisher": facts.publisher,
        "modified_at": facts.modified_at,
        "architecture": facts.architecture,
        "quantization": facts.quantization,
        "name": record.name,
        "max_tokens": spec.context_window,
        "size": facts.size,
        "streaming": "streaming" in spec.supports,
        "instructed": facts.instructed,
        "coding": facts.coding,
        "tooling": "function_calling" in spec.supports,
        "is_mlx": facts.is_mlx,
        "is_gguf": facts.is_gguf,
        "parameters": facts.parameters,
        "runtime_name": facts.runtime,
        "service": spec.provider,
        "file_path": facts.file_path,
    }


def _service_columns(record: CatalogRecord, spec: ProviderSpec) -> Mapping[str, object]:
    return {
        "service_name": record.name,
        "api_format": spec.api_format,
        "api_key_env_var": spec.api_key_env_var,
        "urls": list(spec.urls),
        # Whole seconds by the requirement: never shorter than what is in force.
        "short_timeout_sec": math.ceil(spec.short_timeout),
        "long_timeout_sec": math.ceil(spec.long_timeout),
        "verify_cert": spec.verify_cert,
        "enable_discovery": spec.enable_discovery,
    }
