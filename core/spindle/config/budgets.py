"""The section `budgets`: how calls are reserved and what counts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spindle.config.sections import Count, Section


class BudgetSettings(Section):
    """`budgets`. The budgets themselves are in the database."""

    unpriced: Literal["allow", "deny"] = "deny"
    default_output_tokens: Count = 4096
    tokens_per_image: Count = 2000
    lease_seconds: Annotated[float, Field(ge=3, allow_inf_nan=False)] = 30.0
