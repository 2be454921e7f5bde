"""The administrator's token across starts, databases and accidents."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from spindle.administrator import ensure_administrator
from spindle.home import ADMIN_TOKEN_FILE
from spindle.store import Store
from spindle.tokens import hash_token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    opened = await Store.open(f"sqlite+aiosqlite:///{tmp_path / 'db'}")
    yield opened
    await opened.close()


async def test_the_first_start_mints_and_the_second_keeps(store: Store, tmp_path: Path) -> None:
    """Once new, then the same; the store knows its hash only."""
    home = tmp_path / "home"
    first = await ensure_administrator(store, home)
    second = await ensure_administrator(store, home)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.token == second.token
    assert stat.S_IMODE((home / ADMIN_TOKEN_FILE).stat().st_mode) == 0o600
    (row,) = await store.tokens.all()
    assert row.hash == hash_token(first.token.reveal())
    assert (row.is_admin, row.teams, row.permissions) == (True, None, ("*",))
    assert first.token.reveal() not in str(row)


async def test_a_token_the_store_does_not_know_is_taken_over(store: Store, tmp_path: Path) -> None:
    """An old home over a new database."""
    (tmp_path / ADMIN_TOKEN_FILE).write_text("spn_old\n")
    kept = await ensure_administrator(store, tmp_path)
    assert (kept.token.reveal(), kept.is_new) == ("spn_old", False)
    assert [row.hash for row in await store.tokens.all()] == [hash_token("spn_old")]


async def test_a_revoked_token_is_replaced(store: Store, tmp_path: Path) -> None:
    """Whoever revoked it meant it."""
    first = await ensure_administrator(store, tmp_path)
    (row,) = await store.tokens.all()
    await store.tokens.revoke(row.id)
    second = await ensure_administrator(store, tmp_path)
    assert second.is_new
    assert second.token != first.token
    assert (tmp_path / ADMIN_TOKEN_FILE).read_text().strip() == second.token.reveal()


async def test_an_empty_file_is_no_token(store: Store, tmp_path: Path) -> None:
    """A start that was killed in between leaves one."""
    (tmp_path / ADMIN_TOKEN_FILE).touch(mode=0o644)
    made = await ensure_administrator(store, tmp_path)
    assert made.is_new
    assert stat.S_IMODE((tmp_path / ADMIN_TOKEN_FILE).stat().st_mode) == 0o600
