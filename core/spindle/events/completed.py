"""The event of a completed model call: a CloudEvent 1.0 in JSON, without any of its content."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from spindle.store.rows import OutboxRow
from spindle_spi.admission import Status
from spindle_spi.records import Kind, ModelSpec

if TYPE_CHECKING:
    from spindle.admission import OpenPermit
    from spindle.store import UsageRow
    from spindle_spi.admission import Outcome
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject

CHAT: Final = "llm-provider.chat_completed.v1"
EMBEDDING: Final = "llm-provider.embedding_generated.v1"

_SCHEMAS = {
    CHAT: "urn:gateway:schema:chat_completed:1",
    EMBEDDING: "urn:gateway:schema:embedding_generated:1",
}


class Completions:
    """Makes events. `source` says who we are."""

    def __init__(self, source: str) -> None:
        self._source = source

    def event_of(self, held: OpenPermit, outcome: Outcome, row: UsageRow) -> OutboxRow | None:
        """Return the event of a call; None for one that is no completed call of a model.

        Its id is the permit's: a call has one event, however often it is written or sent.
        """
        record = held.permit.record

        if record.kind is not Kind.MODEL or outcome.status is not Status.OK:
            return None

        now = time.time()
        kind = EMBEDDING if _embeds(record) else CHAT
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
            "data": _data(outcome, row),
        }

        if trace.traceparent is not None:
            event["traceparent"] = trace.traceparent

        return OutboxRow(id=row.id, at=now, type=kind, body=json.dumps(event))


def _data(outcome: Outcome, row: UsageRow) -> JsonObject:
    served = row.served_by or row.record
    return {
        "request_id": row.request_id,
        "principal": row.token_id,
        "provider": row.backend,
        "model_requested": row.record,
        "model_served": served,
        "stream": row.stream,
        "attempts": [
            {
                "provider": attempt.backend,
                "model": served,
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
        "cost": {"usd": row.cost_usd},
        "latency": {"total_ms": row.total_ms, "first_chunk_ms": row.first_byte_ms},
        "cache_hit": False,
        "rate_limit_status": "OK",
    }


def _embeds(record: CatalogRecord) -> bool:
    spec = record.spec
    return isinstance(spec, ModelSpec) and (
        spec.model_type == "embeddings"
        or ("embedding" in spec.supports and "chat" not in spec.supports)
    )
