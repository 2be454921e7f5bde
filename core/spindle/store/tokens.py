"""API tokens in the store."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import RowMapping, insert, or_, select, update

from spindle.store.administrators import guarded
from spindle.store.audit import add_audit, tell
from spindle.store.database import Database, bump
from spindle.store.rows import TokenRow
from spindle.store.tables import TOKENS
from spindle_spi.codec import decode, encode
from spindle_spi.context import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from spindle.store.audit import AuditRow, Told

_Windows = tuple[TimeWindow, ...]
_Names = tuple[str, ...]


class Tokens:
    """Keeps tokens by hash; every change raises the revision."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, token: TokenRow, audit: Sequence[AuditRow] = ()) -> None:
        """Store a new token."""
        async with self._database.writing() as connection:
            await add_token(connection, token)
            await add_audit(connection, audit)
            await bump(connection)

    async def all(self) -> tuple[TokenRow, ...]:
        """Return every token, the oldest first, revoked ones too."""
        async with self._database.reading() as connection:
            found = await connection.execute(select(TOKENS).order_by(TOKENS.c.created_at))
            return tuple(_token(row) for row in found.mappings())

    async def get(self, token: str) -> TokenRow | None:
        """Return the token of this id, or the only one with this prefix."""
        matching = or_(TOKENS.c.id == token, TOKENS.c.prefix == token)

        async with self._database.reading() as connection:
            found = await connection.execute(select(TOKENS).where(matching))
            rows = [_token(row) for row in found.mappings()]

        named = [row for row in rows if row.id == token] or rows
        return named[0] if len(named) == 1 else None

    async def revoke(
        self, token_id: str, at: float | None = None, *, audit: Sequence[AuditRow] = ()
    ) -> bool:
        """Revoke a token for good; False when there is none in force."""
        async with self._database.writing() as connection:
            if not await _revoke(connection, token_id, time.time() if at is None else at):
                return False

            await add_audit(connection, audit)
            await bump(connection)
            return True

    async def revoke_guarded(self, token_id: str, *, audit: Sequence[AuditRow] = ()) -> bool:
        """Revoke a token unless it is the last that can administer the gateway.

        Raises:
            Conflict: It is; it stays in force.
        """
        async with guarded(self._database) as (connection, _):
            if not await _revoke(connection, token_id, time.time()):
                return False

            await add_audit(connection, audit)
            return True

    async def change(
        self, before: TokenRow, after: TokenRow, told: Told[TokenRow] | None = None
    ) -> TokenRow | None:
        """Change a token in force that is still as `before`; None when it is not.

        Raises:
            Conflict: It would leave nobody who can administer the gateway.
        """
        same = (TOKENS.c.id == before.id) & (TOKENS.c.epoch == before.epoch)
        in_force = same & TOKENS.c.revoked_at.is_(None)
        changed = replace(after, id=before.id, epoch=before.epoch + 1)
        columns = {
            name: value
            for name, value in _columns(changed).items()
            if name not in ("last_used_at", "last_used_ip")
        }

        async with guarded(self._database) as (connection, _):
            done = await connection.execute(update(TOKENS).where(in_force).values(columns))

            if done.rowcount != 1:
                return None

            await tell(connection, told, changed)
            return changed

    async def note_uses(self, uses: Mapping[str, tuple[float, str | None]]) -> None:
        """Keep when and from where tokens were used last, by id; no change anybody must see."""
        async with self._database.writing() as connection:
            for token_id, (at, client_ip) in uses.items():
                is_newer = TOKENS.c.last_used_at.is_(None) | (TOKENS.c.last_used_at < at)
                await connection.execute(
                    update(TOKENS)
                    .where((TOKENS.c.id == token_id) & is_newer)
                    .values(last_used_at=at, last_used_ip=client_ip)
                )


async def add_token(connection: AsyncConnection, token: TokenRow) -> None:
    """Store a new token in the caller's transaction."""
    await connection.execute(insert(TOKENS), [_columns(token)])


async def valid_tokens(
    connection: AsyncConnection, condition: ColumnElement[bool]
) -> list[TokenRow]:
    """Return the tokens that are not revoked and fit."""
    wanted = select(TOKENS).where(TOKENS.c.revoked_at.is_(None), condition)
    return [_token(row) for row in (await connection.execute(wanted)).mappings()]


async def _revoke(connection: AsyncConnection, token_id: str, at: float) -> bool:
    in_force = (TOKENS.c.id == token_id) & TOKENS.c.revoked_at.is_(None)
    ended = {"revoked_at": at, "epoch": TOKENS.c.epoch + 1}
    done = await connection.execute(update(TOKENS).where(in_force).values(ended))
    return done.rowcount == 1


def _columns(token: TokenRow) -> Mapping[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "prefix": token.prefix,
        "hash": token.hash,
        "created_at": token.created_at,
        "user_email": token.user_email,
        "is_admin": token.is_admin,
        "teams": None if token.teams is None else json.dumps(token.teams),
        "permissions": json.dumps(token.permissions),
        "role": token.role,
        "server_id": token.server_id,
        "ip_restrictions": json.dumps(token.ip_restrictions),
        "time_restrictions": encode(token.time_restrictions, _Windows).decode(),
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "epoch": token.epoch,
        "created_by": token.created_by,
        "last_used_at": token.last_used_at,
        "last_used_ip": token.last_used_ip,
    }


def _token(row: RowMapping) -> TokenRow:
    teams = row["teams"]
    return TokenRow(
        id=row["id"],
        name=row["name"],
        prefix=row["prefix"],
        hash=row["hash"],
        created_at=row["created_at"],
        user_email=row["user_email"],
        is_admin=row["is_admin"],
        teams=None if teams is None else decode(teams, _Names),
        permissions=decode(row["permissions"], _Names),
        role=row["role"],
        server_id=row["server_id"],
        ip_restrictions=decode(row["ip_restrictions"], _Names),
        time_restrictions=decode(row["time_restrictions"], _Windows),
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        epoch=row["epoch"],
        created_by=row["created_by"],
        last_used_at=row["last_used_at"],
        last_used_ip=row["last_used_ip"],
    )
