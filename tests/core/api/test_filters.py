"""Query parameters with a typing error: refused, whatever the route, and never without effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.core.catalog.desk import Desk, open_desk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("budgets?scope=teem", "scope: expected one of global, token, user, team."),
        ("budgets?period=year", "period: expected one of day, week, month, total."),
        ("limits?scope=global", "scope: expected one of token, user, team, role."),
        ("secrets?state=open", "state: expected one of available, locked, missing."),
    ],
)
async def test_a_filter_that_nothing_could_pass_is_refused(
    desk: Desk, query: str, words: str
) -> None:
    """An empty list would say that there is nothing, which is something else."""
    answer = await desk.ask("GET", query)
    assert answer.status == 400
    assert answer.message == words
    assert (await desk.ask("GET", query.partition("?")[0])).status == 200


@pytest.mark.parametrize("family", ["budgets", "limits"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", ""), ("GET", "/1"), ("PATCH", "/1"), ("DELETE", "/1")]
)
async def test_a_parameter_that_nobody_knows_is_refused(
    desk: Desk, family: str, method: str, path: str
) -> None:
    """Before anything is looked up or changed."""
    answer = await desk.ask(method, f"{family}{path}?dry_run=true", {})
    assert answer.status == 400
    assert "'dry_run'" in answer.message
