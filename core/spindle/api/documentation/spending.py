"""Budgets, limits, and what was used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle.api.budgets import PERIODS, BudgetChange, NewBudget
from spindle.api.budgets import SCOPES as BUDGET_SCOPES
from spindle.api.documentation.shapes import (
    FLAG,
    IF_MATCH,
    MAYBE_MOMENT,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    MAYBE_WHOLE,
    MOMENT,
    NUMBER,
    PAGE,
    TEXT,
    WHOLE,
    body_of,
    choice,
    filters,
    many,
    one_of,
    page_of,
    read,
    record,
    removal,
    write,
)
from spindle.api.limits import SCOPES as LIMIT_SCOPES
from spindle.api.limits import LimitChange, NewLimit
from spindle.store.usage_reports import DIMENSIONS
from spindle_spi.operation import JSON_CONTENT, OperationDoc, ParameterDoc, ResponseDoc

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

_BUDGETS: Final = "/admin/api/v1/budgets"
_LIMITS: Final = "/admin/api/v1/limits"
_CSV: Final = "text/csv"

BUDGET: Final = record(
    "Budget",
    id=TEXT,
    scope=one_of(*BUDGET_SCOPES),
    name=MAYBE_TEXT,
    period=one_of(*PERIODS),
    limit_usd=MAYBE_NUMBER,
    limit_tokens=MAYBE_WHOLE,
    mode=one_of("hard", "soft"),
    period_start=MAYBE_MOMENT,
    resets_at=MAYBE_MOMENT,
    spending=many(
        record(
            "Spending",
            holder=MAYBE_TEXT,
            spent_usd=NUMBER,
            spent_tokens=WHOLE,
            held_usd=NUMBER,
            held_tokens=WHOLE,
            left_usd=MAYBE_NUMBER,
            left_tokens=MAYBE_WHOLE,
        )
    ),
    created_at=MOMENT,
)
LIMIT: Final = record(
    "Limit",
    id=TEXT,
    scope=one_of(*LIMIT_SCOPES),
    name=TEXT,
    requests_per_minute=MAYBE_WHOLE,
    tokens_per_minute=MAYBE_WHOLE,
    created_at=MOMENT,
)
_GROUP: Final[dict[str, JsonObject]] = dict.fromkeys(DIMENSIONS, MAYBE_TEXT)
SUM: Final = record(
    "UsageSum",
    optional=DIMENSIONS,
    **_GROUP,
    calls=WHOLE,
    by_status={"type": "object", "additionalProperties": {"type": "integer"}},
    input_tokens=WHOLE,
    output_tokens=WHOLE,
    total_tokens=WHOLE,
    cache_read_tokens=WHOLE,
    cache_write_tokens=WHOLE,
    reasoning_tokens=WHOLE,
    cost_usd=NUMBER,
    unpriced_calls=WHOLE,
    average_ms=NUMBER,
    slowest_ms=NUMBER,
)
RECORD: Final = record(
    "UsageRecord",
    id=TEXT,
    at=NUMBER,
    time=MOMENT,
    request_id=TEXT,
    token_id=MAYBE_TEXT,
    user_email=MAYBE_TEXT,
    team=MAYBE_TEXT,
    caller_team=MAYBE_TEXT,
    kind=TEXT,
    record=TEXT,
    backend=MAYBE_TEXT,
    served_by=MAYBE_TEXT,
    action=TEXT,
    status=TEXT,
    stream=FLAG,
    input_tokens=WHOLE,
    output_tokens=WHOLE,
    cache_read_tokens=WHOLE,
    cache_write_tokens=WHOLE,
    reasoning_tokens=WHOLE,
    estimated=FLAG,
    cost_usd=MAYBE_NUMBER,
    total_ms=NUMBER,
    first_byte_ms=MAYBE_NUMBER,
    error_code=MAYBE_TEXT,
    attempts=many(record("UsageAttempt", backend=TEXT, target=TEXT, outcome=TEXT, ms=NUMBER)),
)


def spending() -> dict[str, OperationDoc]:
    """Return the operations of this area, by route."""
    return {**_budgets(), **_limits(), **_usage()}


def _budgets() -> dict[str, OperationDoc]:
    one = f"{_BUDGETS}/{{id}}"
    query = (
        choice("scope", *BUDGET_SCOPES),
        *filters("name"),
        choice("period", *PERIODS),
        *PAGE,
    )
    return {
        f"GET {_BUDGETS}": read(
            "List the budgets one may know of, with what is spent", page_of(BUDGET), query=query
        ),
        f"POST {_BUDGETS}": write("Make a budget", BUDGET, body_of(NewBudget), status=201),
        f"GET {one}": read("Show a budget", BUDGET),
        f"PATCH {one}": write(
            "Change a budget", BUDGET, body_of(BudgetChange), parameters=(IF_MATCH,)
        ),
        f"DELETE {one}": removal("Delete a budget"),
    }


def _limits() -> dict[str, OperationDoc]:
    one = f"{_LIMITS}/{{id}}"
    query = (choice("scope", *LIMIT_SCOPES), *filters("name"), *PAGE)
    return {
        f"GET {_LIMITS}": read("List the limits one may know of", page_of(LIMIT), query=query),
        f"POST {_LIMITS}": write("Make a limit", LIMIT, body_of(NewLimit), status=201),
        f"GET {one}": read("Show a limit", LIMIT),
        f"PATCH {one}": write(
            "Change a limit", LIMIT, body_of(LimitChange), parameters=(IF_MATCH,)
        ),
        f"DELETE {one}": removal("Delete a limit"),
    }


def _usage() -> dict[str, OperationDoc]:
    since = "An ISO date or time, seconds since the epoch, or `7d` ago (m, h, d, w)."
    query = (
        *filters("token", "user", "team", "model", "provider", "kind", "status"),
        *(ParameterDoc(name=name, schema=TEXT, description=since) for name in ("since", "until")),
        choice("format", "json", "csv", description="In place of `accept`."),
        *PAGE,
    )
    by = ParameterDoc(
        name="by",
        schema={"type": "string", "default": "model"},
        description=f"What to group by, separated by commas: {', '.join(DIMENSIONS)}.",
    )
    return {
        "GET /usage": _table("Sum up what calls used", SUM, (by, *query)),
        "GET /usage/records": _table("List calls and what each used", RECORD, query),
    }


def _table(summary: str, schema: JsonObject, query: tuple[ParameterDoc, ...]) -> OperationDoc:
    return OperationDoc(
        summary=summary,
        parameters=query,
        responses={
            "200": ResponseDoc(
                description="One's own, one's teams', or everybody's: as the caller may.",
                content={JSON_CONTENT: page_of(schema), _CSV: {"type": "string"}},
            )
        },
    )
