"""What happened in one call: its clock, its attempts, its usage; and the Outcome made of that.

One journal per admitted call. Whoever relays writes into it, whoever settles reads it once.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from spindle_spi.admission import Attempt, Embedded, Outcome, Status, TokenUsage

if TYPE_CHECKING:
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject


class Exclusion(NamedTuple):
    """A candidate that was not asked."""

    record: CatalogRecord
    reason: str
    wait: float | None = None
    """Seconds after which it would have been."""


class Journal:
    """The mutable record of one call while it runs."""

    __slots__ = (
        "attempts",
        "cache_hit",
        "dropped",
        "embedded",
        "error_code",
        "exclusions",
        "finish_reasons",
        "first_byte_at",
        "headers",
        "idempotency_key",
        "response_bytes",
        "response_id",
        "route_id",
        "served_by",
        "started",
        "status",
        "stream",
        "upstream_status",
        "usage",
    )

    def __init__(self, *, stream: bool = False) -> None:
        self.started = time.perf_counter()
        self.stream = stream
        self.first_byte_at: float | None = None
        self.attempts: tuple[Attempt, ...] = ()
        self.exclusions: tuple[Exclusion, ...] = ()
        self.upstream_status: int | None = None
        """HTTP status of the last attempt's answer; None when there was none."""
        self.status: Status | None = None
        """How the call ended; None while it runs."""
        self.route_id: str | None = None
        """Under which the record of its route is kept."""
        self.dropped: tuple[str, ...] = ()
        """Parameters that the upstream's dialect has no word for, and that were left out."""
        self.usage: TokenUsage | None = None
        self.finish_reasons: tuple[str, ...] = ()
        self.served_by: str | None = None
        """Name of the record that answered, when it was an alternative."""
        self.error_code: str | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        """Headers of the upstream's answer that a client may see."""
        self.idempotency_key: str | None = None
        """What makes an equal call this call."""
        self.cache_hit = False
        """Nothing was asked of an upstream."""
        self.embedded: Embedded | None = None
        """What a call for embeddings made."""
        self.response_id: str | None = None
        """What the answer calls itself."""
        self.response_bytes = 0
        """Bytes of the answer's body that the client was given."""

    def first_byte(self) -> None:
        """Note when the upstream began to answer; later calls change nothing."""
        if self.first_byte_at is None:
            self.first_byte_at = time.perf_counter()

    def note_answer(self, answer: JsonObject) -> None:
        """Take the id and the finish reasons of a whole answer."""
        said = answer.get("id")
        self.response_id = said if isinstance(said, str) else None
        choices = answer.get("choices")
        reasons = [
            choice.get("finish_reason")
            for choice in (choices if isinstance(choices, list) else ())
            if isinstance(choice, dict)
        ]
        self.finish_reasons = tuple(reason for reason in reasons if isinstance(reason, str))

    def exclude(self, exclusion: Exclusion) -> None:
        """Note a candidate that is not asked."""
        self.exclusions += (exclusion,)

    def last_attempt_broke(self, code: str) -> None:
        """Note that the last attempt, which began well, failed after all."""
        if self.attempts:
            *before, last = self.attempts
            self.attempts = (*before, replace(last, outcome=code))

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the call began."""
        return (time.perf_counter() - self.started) * 1000

    def outcome(self, status: Status) -> Outcome:
        """Return what became of the call, for `CatalogService.settle`."""
        first = self.first_byte_at
        self.status = status
        return Outcome(
            status=status,
            usage=self.usage,
            attempts=self.attempts,
            total_ms=self.elapsed_ms(),
            first_byte_ms=None if first is None else (first - self.started) * 1000,
            stream=self.stream,
            served_by=self.served_by,
            finish_reasons=self.finish_reasons,
            error_code=self.error_code,
            idempotency_key=self.idempotency_key,
            cache_hit=self.cache_hit,
            embedded=self.embedded,
            response_id=self.response_id,
            response_bytes=self.response_bytes or None,
        )
