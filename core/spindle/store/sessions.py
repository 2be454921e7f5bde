"""Sessions and their events in the store. Who may touch one is checked by the caller."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, RowMapping, delete, insert, select, update

from spindle.store.tables import EVENTS, SESSIONS
from spindle_spi.session_event import Session, SessionEvent

if TYPE_CHECKING:
    from spindle.store.database import Database
    from spindle_spi.types import JsonObject


class Sessions:
    """Event logs. An expired session is absent in every read, and removed by a later write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, session: Session, *, ttl: float) -> None:
        """Store a session, replacing its owner's of the same kind and key."""
        gone = SESSIONS.c.expires_at <= time.time()

        # Without a key nothing is replaced: compared with None, every such session would be.
        if session.key is not None:
            gone |= _named(session.owner, session.kind, session.key)

        async with self._database.writing() as connection:
            await connection.execute(delete(SESSIONS).where(gone))
            await connection.execute(
                insert(SESSIONS).values(
                    id=session.id,
                    kind=session.kind,
                    key=session.key,
                    owner=session.owner,
                    created_at=session.created_at,
                    expires_at=session.expires_at,
                    ttl=ttl,
                    data=json.dumps(session.data),
                    last_sequence=session.last_sequence,
                )
            )

    async def get(self, session_id: str) -> Session | None:
        """Return a live session."""
        live = SESSIONS.c.expires_at > time.time()

        async with self._database.reading() as connection:
            found = await connection.execute(
                select(SESSIONS).where(SESSIONS.c.id == session_id, live)
            )
            row = found.mappings().one_or_none()
            return None if row is None else _session(row)

    async def find(self, owner: str, kind: str, key: str) -> Session | None:
        """Return an owner's live session of a kind and key."""
        live = SESSIONS.c.expires_at > time.time()
        query = select(SESSIONS).where(_named(owner, kind, key), live)

        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            return None if row is None else _session(row)

    async def append(
        self,
        session_id: str,
        event_type: str,
        data: JsonObject,
        *,
        expected_sequence: int | None = None,
    ) -> SessionEvent | None:
        """Append an event and extend the session's life.

        Returns None when there is no live session, or its last event is not the expected one.
        """
        now = time.time()
        matching = (SESSIONS.c.id == session_id) & (SESSIONS.c.expires_at > now)

        if expected_sequence is not None:
            matching &= SESSIONS.c.last_sequence == expected_sequence

        extended = (
            update(SESSIONS)
            .where(matching)
            .values(last_sequence=SESSIONS.c.last_sequence + 1, expires_at=now + SESSIONS.c.ttl)
            .returning(SESSIONS.c.last_sequence)
        )

        async with self._database.writing() as connection:
            sequence = (await connection.execute(extended)).scalar_one_or_none()

            if sequence is None:
                return None

            event = SessionEvent(sequence=int(sequence), type=event_type, at=now, data=data)
            await connection.execute(
                insert(EVENTS).values(
                    session_id=session_id,
                    sequence=event.sequence,
                    type=event.type,
                    at=event.at,
                    data=json.dumps(event.data),
                )
            )
            return event

    async def replay(
        self, session_id: str, *, after: int = 0, limit: int = 1000
    ) -> tuple[SessionEvent, ...]:
        """Return events after a sequence number, in order."""
        query = (
            select(EVENTS)
            .where(EVENTS.c.session_id == session_id, EVENTS.c.sequence > after)
            .order_by(EVENTS.c.sequence)
            .limit(limit)
        )

        async with self._database.reading() as connection:
            found = await connection.execute(query)
            return tuple(
                SessionEvent(
                    sequence=row["sequence"],
                    type=row["type"],
                    at=row["at"],
                    data=json.loads(row["data"]),
                )
                for row in found.mappings()
            )

    async def delete(self, session_id: str) -> bool:
        """Delete a session with its events; False when there was none."""
        async with self._database.writing() as connection:
            gone = await connection.execute(delete(SESSIONS).where(SESSIONS.c.id == session_id))
            return gone.rowcount > 0


def _named(owner: str, kind: str, key: str) -> ColumnElement[bool]:
    return (SESSIONS.c.owner == owner) & (SESSIONS.c.kind == kind) & (SESSIONS.c.key == key)


def _session(row: RowMapping) -> Session:
    return Session(
        id=row["id"],
        kind=row["kind"],
        owner=row["owner"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        key=row["key"],
        data=json.loads(row["data"]),
        last_sequence=row["last_sequence"],
    )
