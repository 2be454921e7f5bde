"""Who can still administer the gateway: a change that would leave nobody is taken back."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import select

from spindle.store.database import bump
from spindle.store.tables import ROLES, TOKENS, USERS
from spindle_spi.errors import Conflict
from spindle_spi.policy import ROLES as BUILT_IN
from spindle_spi.policy import granted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.database import Database


@asynccontextmanager
async def guarded(database: Database) -> AsyncGenerator[tuple[AsyncConnection, int], None]:
    """Give a connection and the new epoch for a change that must leave an administrator.

    Raises:
        Conflict: It would leave none; nothing is changed.
    """
    async with database.writing() as connection:
        # Raising the revision locks its row: two such changes never look at once.
        epoch = await bump(connection)

        async with keeping_one(connection):
            yield connection, epoch


@asynccontextmanager
async def keeping_one(connection: AsyncConnection) -> AsyncGenerator[None]:
    """Watch over a change in the caller's transaction, which raised the revision before.

    Raises:
        Conflict: It would leave no administrator where there was one.
    """
    before = await _count(connection)
    yield

    if before and not await _count(connection):
        raise Conflict(
            "That would leave nobody who can administer this gateway: "
            "make another administrator first.",
            code="core.administrator.last",
        )


async def _count(connection: AsyncConnection) -> int:
    custom = await connection.execute(select(ROLES.c.name, ROLES.c.permissions))
    roles = BUILT_IN | {name: tuple(json.loads(held)) for name, held in custom}
    whole = {name for name, permissions in roles.items() if granted(permissions, "*")}
    is_enabled = USERS.c.is_admin & USERS.c.disabled_at.is_(None)
    users = await connection.execute(select(USERS.c.role).where(is_enabled))
    return sum(role in whole for (role,) in users) + await _tokens(connection, whole)


async def _tokens(connection: AsyncConnection, whole: set[str]) -> int:
    in_force = TOKENS.c.revoked_at.is_(None) & (
        TOKENS.c.expires_at.is_(None) | (TOKENS.c.expires_at > time.time())
    )
    everywhere = TOKENS.c.teams.is_(None) & TOKENS.c.server_id.is_(None)
    owned = TOKENS.c.user_email.in_(select(USERS.c.email))
    unowned = TOKENS.c.user_email.is_(None) | ~owned
    query = select(TOKENS.c.role, TOKENS.c.permissions).where(
        TOKENS.c.is_admin, in_force, everywhere, unowned
    )
    found = await connection.execute(query)
    return sum(
        (not role or role in whole) and granted(json.loads(held), "*") for role, held in found
    )
