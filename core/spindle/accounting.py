"""What a call used, in tokens and money, and the row that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.store import UsageRow
from spindle_spi.admission import Outcome, Permit, TokenUsage
from spindle_spi.records import CatalogRecord, ModelSpec

if TYPE_CHECKING:
    from spindle.admission import OpenPermit

NO_USAGE = TokenUsage()
"""What a call used that said nothing."""
_MOST_TOKENS = 10**12
"""More than any call can use; an upstream may say anything."""


def plausible(usage: TokenUsage | None) -> TokenUsage | None:
    """Return the usage with every figure within reason."""
    if usage is None:
        return None

    figures = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )

    if min(figures) >= 0 and max(figures) <= _MOST_TOKENS:
        return usage

    bounded = [max(0, min(figure, _MOST_TOKENS)) for figure in figures]
    return TokenUsage(
        input_tokens=bounded[0],
        output_tokens=bounded[1],
        cache_read_tokens=bounded[2],
        cache_write_tokens=bounded[3],
        reasoning_tokens=bounded[4],
        estimated=usage.estimated,
    )


def cost_of(record: CatalogRecord, usage: TokenUsage) -> float | None:
    """Return US dollars at the record's prices; None when it has none."""
    spec = record.spec

    if not isinstance(spec, ModelSpec) or spec.input_price is None or spec.output_price is None:
        return None

    spent = usage.input_tokens * spec.input_price + usage.output_tokens * spec.output_price
    return spent / 1_000_000


def _answering(permit: Permit, name: str) -> tuple[CatalogRecord, CatalogRecord | None]:
    """Return the alternative that answered, and its backend; the record itself by default."""
    for other, backend in zip(permit.alternatives, permit.alternative_backends, strict=True):
        if other.name == name:
            return other, backend

    return permit.record, permit.backend


def usage_row(held: OpenPermit, outcome: Outcome, usage: TokenUsage) -> UsageRow:
    """Return the ledger's row for a permit that ends now."""
    permit, subject = held.permit, held.context.subject
    record = answered = permit.record
    backend = permit.backend

    if outcome.served_by is not None:
        answered, backend = _answering(permit, outcome.served_by)

    return UsageRow(
        id=permit.id,
        at=held.at,
        request_id=held.context.trace.request_id,
        token_id=subject.token_id,
        user_email=subject.user_email,
        team=record.team,
        kind=record.kind.value,
        record=record.name,
        backend=None if backend is None else backend.name,
        served_by=outcome.served_by,
        action=held.action.value,
        status=outcome.status.value,
        stream=outcome.stream,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        estimated=usage.estimated,
        cost_usd=cost_of(answered, usage),
        total_ms=outcome.total_ms,
        first_byte_ms=outcome.first_byte_ms,
        error_code=outcome.error_code,
        attempts=outcome.attempts,
    )
