"""Secrets, audit entries and retention in both engines."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle.administrator import local_context
from spindle.audit import Audit, AuditEntry
from spindle.config.retention import RetentionSettings
from spindle.master_key import MasterKeys, new_key
from spindle.redaction import Redactor
from spindle.retention import Janitor, Rule
from spindle.store import Store
from spindle.store.audit import AuditFilter
from spindle.store.tables import AUDIT, EVENTS
from spindle.vault import Vault
from spindle_spi.errors import NotFound
from spindle_spi.secret import Secret
from spindle_spi.session_event import Session

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Store]:
    store = await Store.open(url)

    try:
        yield store
    finally:
        await store.close()


@pytest.mark.requirement("000-core-secrets")
async def test_secrets_are_kept_and_rotated(database_url: str, tmp_path: Path) -> None:
    """Put, put again, rotated, deleted; what another process wrote is read."""
    old, new = new_key(), new_key()

    def vault(store: Store, *given: Secret) -> Vault:
        text = Secret(" ".join(key.reveal() for key in given))
        keys = MasterKeys(given=text, file=None, home=tmp_path, is_production=True)
        return Vault(store, keys, Redactor())

    async with opened(database_url) as store, opened(database_url) as other:
        one = vault(store, old)
        await one.put("a", Secret("first"))
        await one.put("a", Secret("second"), by="ada")
        await one.put("b", Secret("third"))
        assert await vault(other, new, old).rotate() == 2
        after = vault(store, new)
        (await after.read())()
        assert [after.reveal(name) for name in "ab"] == [Secret("second"), Secret("third")]
        rows = await store.secrets.all()
        assert [(row.name, row.updated_by) for row in rows] == [("a", "ada"), ("b", "")]
        assert rows[0].created_at <= rows[0].updated_at
        await after.delete("a")

        with pytest.raises(NotFound):
            await after.delete("a")


async def test_a_change_and_its_entry_are_kept_together_or_not_at_all(
    database_url: str, tmp_path: Path
) -> None:
    """An entry that cannot be written takes the change back."""
    keys = MasterKeys(given=new_key(), file=None, home=tmp_path, is_production=True)

    async with opened(database_url) as store:
        vault = Vault(store, keys, Redactor())
        row = Audit(store).row(local_context(), AuditEntry(action="secrets.update", target="a"))
        await vault.put("a", Secret("first"), audit=[row])
        before = await store.secrets.all()

        for change in (
            vault.put("a", Secret("second"), audit=[row]),
            vault.delete("a", audit=[row]),
            vault.rotate(audit=[row]),
        ):
            # The same id again: the database refuses the entry.
            with pytest.raises(Exception, match=r"(?i)unique"):
                await change

        assert await store.secrets.all() == before
        assert await store.audit.count() == 1
        assert vault.reveal("a") == Secret("first")


async def test_entries_are_found_and_end(database_url: str) -> None:
    """Families of actions, pages, and a sweep in batches by age and by number."""
    async with opened(database_url) as store:
        audit = Audit(store)
        now = time.time()
        rows = [
            replace(
                audit.row(local_context(), AuditEntry(action=action, target="t", after={"a": 1})),
                at=now - age,
            )
            for action, age in (("a_b.c", 500), ("axb.c", 400), ("a_b.d", 300), ("a_b.e", 1))
        ]
        await store.audit.add(rows)
        await store.audit.add(rows[:1])
        found = await store.audit.page(AuditFilter(action="a_b.*", since=now - 450), limit=9)
        assert [row.action for row in found] == ["a_b.e", "a_b.d"]
        janitor = Janitor(store.database, RetentionSettings(batch_rows=1))
        assert await janitor.sweep([Rule(table=AUDIT, column="at", max_age=350)]) == {"audit": 2}
        assert await janitor.sweep([Rule(table=AUDIT, column="at", max_rows=1)]) == {"audit": 1}
        assert await store.audit.count() == 1


async def test_rows_with_a_key_of_several_columns_end(database_url: str) -> None:
    """A batch is chosen by the whole key."""
    async with opened(database_url) as store:
        now = time.time()

        for name in ("a", "b"):
            session = Session(id=name, kind="k", owner=name, created_at=now, expires_at=now + 100)
            await store.sessions.create(session, ttl=100)

            for _ in range(3):
                await store.sessions.append(name, "e", {})

        janitor = Janitor(store.database, RetentionSettings(batch_rows=2))
        rule = Rule(table=EVENTS, column="at", max_age=0.0)
        assert await janitor.sweep([rule]) == {"session_events": 6}
