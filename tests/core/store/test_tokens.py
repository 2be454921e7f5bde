"""Tokens in the store."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle.store import TokenRow
from spindle_spi.context import TimeWindow
from tests.core.store.opened import opened, token

FULL = TokenRow(
    id="full",
    name="whole",
    prefix="spn_12345678",
    hash="ab" * 32,
    created_at=12.5,
    user_email="ada@example.org",
    is_admin=True,
    teams=None,
    permissions=("llm.*", "tools.read"),
    role="developer",
    server_id="server",
    ip_restrictions=("10.0.0.0/8", "::1/128"),
    time_restrictions=(TimeWindow(days=(0, 1), start_minute=60, end_minute=120),),
    expires_at=99.5,
    epoch=3,
)


@pytest.mark.parametrize("row", [FULL, replace(FULL, teams=()), replace(FULL, teams=("red",))])
async def test_a_token_comes_back_as_it_was_stored(database_url: str, row: TokenRow) -> None:
    """Every field, and the three kinds of teams kept apart."""
    async with opened(database_url) as store:
        await store.tokens.create(row)

        assert await store.tokens.all() == (row,)
        assert await store.tokens.get("full") == row


async def test_a_token_is_found_by_id_or_by_its_only_prefix(database_url: str) -> None:
    """An id wins over a prefix; a prefix that two tokens share finds none."""
    async with opened(database_url) as store:
        first, second = token("a"), token("b", created_at=2.0)
        await store.tokens.create(second)
        await store.tokens.create(first)
        await store.tokens.create(replace(token("c"), prefix=first.id))
        await store.tokens.create(replace(token("d"), prefix=second.prefix))

        assert await store.tokens.get(first.id) == first
        assert await store.tokens.get(first.prefix) == first
        assert await store.tokens.get(second.prefix) is None
        assert await store.tokens.get("nobody") is None
        assert [row.name for row in await store.tokens.all()] == ["a", "c", "d", "b"]


async def test_a_revoked_token_stays_listed_with_a_new_epoch(database_url: str) -> None:
    """Revoking happens once; each change raises the revision."""
    async with opened(database_url) as store:
        await store.tokens.create(token("a"))
        assert await store.tokens.revoke("id-a", 5.0)
        assert not await store.tokens.revoke("id-a")
        assert not await store.tokens.revoke("nobody")

        (row,) = await store.tokens.all()
        assert (row.revoked_at, row.epoch) == (5.0, 2)
        assert await store.revision() == 2
