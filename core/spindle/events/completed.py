"""The event of a model call that is over: a CloudEvent 1.0 in JSON, without any of its content."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from spindle.accounting import answering
from spindle.events.endings import error_of, rate_limit_status
from spindle.prices.records import PRICES
from spindle.store.rows import OutboxRow
from spindle_spi.admission import Status
from spindle_spi.records import Kind, ModelSpec

if TYPE_CHECKING:
    from spindle.admission import OpenPermit
    from spindle.store import UsageRow
    from spindle_spi.admission import Embedded, Outcome
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject

CHAT: Final = "llm-provider.chat_completed.v1"
EMBEDDING: Final = "llm-provider.embedding_generated.v1"
CHAT_FAILED: Final = "llm-provider.chat_failed.v1"
EMBEDDING_FAILED: Final = "llm-provider.embedding_failed.v1"

_SCHEMAS: Final = {
    CHAT: "urn:gateway:schema:chat_completed:1",
    EMBEDDING: "urn:gateway:schema:embedding_generated:1",
    CHAT_FAILED: "urn:gateway:schema:chat_failed:1",
    EMBEDDING_FAILED: "urn:gateway:schema:embedding_failed:1",
}
EVENT_TYPES: Final = tuple(_SCHEMAS)
"""Every type of event there is: whoever keeps events has to keep all of them."""
_MOST_OF_A_KEY: Final = 256
"""Characters of what a module says in one word."""


class Completions:
    """Makes events. `source` says who we are."""

    def __init__(self, source: str) -> None:
        self._source = source

    def event_of(self, held: OpenPermit, outcome: Outcome, row: UsageRow) -> OutboxRow | None:
        """Return the event of a call; None for one that is no call of a model.

        Its id is the permit's: a call has one event, however often it is written or sent.
        """
        record = held.permit.record

        if record.kind is not Kind.MODEL:
            return None

        now = time.time()
        kind = _kind_of(record, outcome)
        trace = held.context.trace
        event: JsonObject = {
            "specversion": "1.0",
            "id": row.id,
            "source": self._source,
            "type": kind,
            "subject": row.request_id,
            "time": datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "dataschema": _SCHEMAS[kind],
            "data": _data(held, outcome, row),
        }

        if trace.traceparent is not None:
            event["traceparent"] = trace.traceparent

        return OutboxRow(id=row.id, at=now, type=kind, body=json.dumps(event))


def _data(held: OpenPermit, outcome: Outcome, row: UsageRow) -> JsonObject:
    data: JsonObject = {
        "request_id": row.request_id,
        "principal": row.token_id,
        "provider": row.backend,
        "model_requested": row.record,
        "model_served": row.served_by or row.record,
        "stream": row.stream,
        "attempts": [
            {
                "provider": attempt.backend,
                "model": attempt.target,
                "outcome": attempt.outcome,
                "ms": attempt.milliseconds,
            }
            for attempt in row.attempts
        ],
        "finish_reasons": list(outcome.finish_reasons),
        "usage": {
            "input": row.input_tokens,
            "output": row.output_tokens,
            "cache_read": row.cache_read_tokens,
            "cache_write": row.cache_write_tokens,
            "reasoning": row.reasoning_tokens,
            "estimated": row.estimated,
        },
        "cost": {"usd": row.cost_usd, "price_version": _price_version(held, row)},
        "latency": {"total_ms": row.total_ms, "first_chunk_ms": row.first_byte_ms},
        "cache_hit": outcome.cache_hit,
        "rate_limit_status": rate_limit_status(outcome),
        "idempotency_key": _short(outcome.idempotency_key),
    }

    if outcome.embedded is not None:
        data |= _embedded(outcome.embedded)

    if outcome.status is not Status.OK:
        data |= {"status": outcome.status.value, "error": error_of(outcome)}

    return data


def _embedded(made: Embedded) -> JsonObject:
    return {
        "count": made.count,
        "dimension": made.dimension,
        "input_hash": _short(made.input_hash),
        "cached_count": made.cached_count,
    }


def _price_version(held: OpenPermit, row: UsageRow) -> str | None:
    """Return whose prices the cost was reckoned at."""
    permit = held.permit
    record, backend = permit.record, permit.backend

    if row.served_by is not None:
        record, backend = answering(permit, row.served_by)

    rates = PRICES.of(record, backend)
    return None if rates is None else rates.version


def _short(text: str | None) -> Json:
    return None if text is None else text[:_MOST_OF_A_KEY]


def _kind_of(record: CatalogRecord, outcome: Outcome) -> str:
    is_embedding = outcome.embedded is not None or _embeds(record)

    if outcome.status is Status.OK:
        return EMBEDDING if is_embedding else CHAT

    return EMBEDDING_FAILED if is_embedding else CHAT_FAILED


def _embeds(record: CatalogRecord) -> bool:
    spec = record.spec
    return isinstance(spec, ModelSpec) and (
        spec.model_type == "embeddings"
        or ("embedding" in spec.supports and "chat" not in spec.supports)
    )
