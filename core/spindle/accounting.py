"""What a call used, in tokens and money, and the row that says so."""

from __future__ import annotations

import math
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from spindle.prices.records import PRICES
from spindle.store import UsageRow
from spindle.store.spending import Pair
from spindle_spi.admission import Estimate, Outcome, Permit, TokenUsage
from spindle_spi.records import CatalogRecord, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle.admission import OpenPermit
    from spindle.config.budgets import BudgetSettings
    from spindle_spi.context import Subject
    from spindle_spi.types import Json

_NOTHING_SAID = Estimate()
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


def cost_of(
    record: CatalogRecord, usage: TokenUsage, backend: CatalogRecord | None = None
) -> float | None:
    """Return US dollars at the prices of a model and its provider; None when nobody knows them."""
    rates = PRICES.of(record, backend)
    return None if rates is None else rates.cost(usage)


def team_of(subject: Subject, record: CatalogRecord) -> str | None:
    """Return the one team a call is charged to: the caller's only one, or of several the record's.

    Of several that the record does not decide between, it is the first that the token names.
    """
    teams = subject.token_teams

    if not teams:
        return None

    first = teams[0]
    return record.team if len(teams) > 1 and record.team in teams else first


def is_priced(record: CatalogRecord, backend: CatalogRecord | None = None) -> bool:
    """Tell whether it is known what a model costs."""
    return not isinstance(record.spec, ModelSpec) or PRICES.of(record, backend) is not None


class Term(NamedTuple):
    """What one model has to do with the most that a call of it may use."""

    wanted: int
    """Tokens of an answer that the model's defaults ask for; 0 when they ask for none."""
    longest: int
    """Tokens of its longest answer; 0 when nobody knows."""
    input_price: float
    output_price: float


def terms_of(
    records: Sequence[CatalogRecord], backends: Sequence[CatalogRecord | None] = ()
) -> tuple[Term, ...]:
    """Return the terms of models; `backends` are their providers."""
    terms: list[Term] = []

    for record, backend in zip_longest(records, backends):
        spec = record.spec

        if not isinstance(spec, ModelSpec):
            continue

        defaults, rates = spec.defaults, PRICES.of(record, backend)
        terms.append(
            Term(
                wanted=max(
                    _count(defaults.get("max_tokens")),
                    _count(defaults.get("max_completion_tokens")),
                ),
                longest=spec.max_output_tokens or spec.context_window or 0,
                input_price=(spec.input_price or 0.0) if rates is None else rates.dearest_input,
                output_price=(spec.output_price or 0.0) if rates is None else rates.dearest_output,
            )
        )

    return tuple(terms)


def worst_case(terms: Sequence[Term], estimate: Estimate | None, settings: BudgetSettings) -> Pair:
    """Return the most that a call may use, whichever of the models answers it.

    A token of the input is a byte of the body at least; each choice may be as long as the longest
    answer that request or model allow.
    """
    said = estimate or _NOTHING_SAID
    taken = said.input_bytes + said.images * settings.tokens_per_image
    nano = tokens = 0

    for wanted, longest, input_price, output_price in terms:
        answer = said.max_output_tokens or wanted

        if not answer:
            answer = longest or settings.default_output_tokens
        elif longest:
            answer = min(answer, longest)

        given = said.choices * answer
        tokens = max(tokens, taken + given)
        nano = max(nano, _nano(taken * input_price + given * output_price))

    return Pair(nano, tokens)


def spent_of(cost_usd: float | None, usage: TokenUsage) -> Pair:
    """Return what a call spent of its budgets: what its usage row says."""
    return Pair(_nano((cost_usd or 0.0) * 1_000_000), usage.input_tokens + usage.output_tokens)


def estimate_of(arguments: Mapping[str, Json], size: int) -> Estimate:
    """Return what a call of some bytes may cost that comes with arguments only."""
    limits = [_count(arguments.get(key)) for key in ("max_tokens", "max_completion_tokens")]
    return Estimate(
        input_bytes=size,
        max_output_tokens=max(limits) or None,
        choices=_count(arguments.get("n")) or 1,
    )


def _count(value: Json) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return max(0, int(value)) if is_count and isinstance(value, int) else 0


def _nano(dollars_per_million: float) -> int:
    # The product of tokens and a price for a million of them, in millionths of a dollar. Rounded
    # first: a float that is a hair above a whole number is that number.
    return math.ceil(round(dollars_per_million * 1000, 3))


def answering(permit: Permit, name: str) -> tuple[CatalogRecord, CatalogRecord | None]:
    """Return the alternative that answered, and its backend; the record itself by default."""
    for other, backend in zip(permit.alternatives, permit.alternative_backends, strict=True):
        if other.name == name:
            return other, backend

    return permit.record, permit.backend


def usage_row(held: OpenPermit, outcome: Outcome, usage: TokenUsage) -> UsageRow:
    """Return the ledger's row for a permit that ends now."""
    permit, decision, subject = held.permit, held.decision, held.context.subject
    record = answered = permit.record
    backend = permit.backend

    if outcome.served_by is not None:
        answered, backend = answering(permit, outcome.served_by)

    return UsageRow(
        id=permit.id,
        at=held.at,
        request_id=held.context.trace.request_id,
        token_id=subject.token_id,
        user_email=subject.user_email,
        team=record.team,
        kind=decision.kind,
        record=record.name,
        backend=None if backend is None else backend.name,
        served_by=outcome.served_by,
        action=decision.action,
        status=outcome.status.value,
        stream=outcome.stream,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        estimated=usage.estimated,
        cost_usd=cost_of(answered, usage, backend),
        total_ms=outcome.total_ms,
        first_byte_ms=outcome.first_byte_ms,
        error_code=outcome.error_code,
        attempts=outcome.attempts,
        caller_team=decision.team,
    )
