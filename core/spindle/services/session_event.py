"""SessionEventService over the store; every read by id checks the owner."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from spindle_spi.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, Unavailable
from spindle_spi.policy import session_owner
from spindle_spi.session_event import Session, SessionEvent, SessionEventService, SessionSpec

if TYPE_CHECKING:
    from collections.abc import Generator

    from spindle.store import Store
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject

_MAX_REPLAY = 10_000
_MAX_TTL = 366 * 24 * 3600.0


class SessionEvents(SessionEventService):
    """Sessions as event logs in the store: any process on it can serve any turn."""

    def __init__(self, store: Store) -> None:
        self._sessions = store.sessions

    async def create_session(self, context: AuthenticatedContext, spec: SessionSpec) -> Session:
        owner = session_owner(context)

        if owner is None:
            raise PermissionDenied("Sessions need a token.", code="core.session.anonymous")

        if not 0 < spec.ttl <= _MAX_TTL:
            raise InvalidArgument("A session lives longer than 0 seconds and a year at most.")

        now = time.time()
        session = Session(
            id=f"ses_{secrets.token_hex(16)}",
            kind=spec.kind,
            owner=owner,
            created_at=now,
            expires_at=now + spec.ttl,
            key=spec.key,
            data=spec.data,
        )

        with _reaching_the_store():
            await self._sessions.create(session, ttl=spec.ttl)

        return session

    async def get_session(self, context: AuthenticatedContext, session_id: str) -> Session:
        session = await self._own(context, session_id)

        if session is None:
            raise _no_session()

        return session

    async def find_session(
        self, context: AuthenticatedContext, kind: str, key: str
    ) -> Session | None:
        owner = session_owner(context)

        if owner is None:
            return None

        with _reaching_the_store():
            return await self._sessions.find(owner, kind, key)

    async def validate_session_owner(self, context: AuthenticatedContext, session_id: str) -> bool:
        return await self._own(context, session_id) is not None

    async def append_event(
        self,
        context: AuthenticatedContext,
        session_id: str,
        type: str,
        data: JsonObject,
        *,
        expected_sequence: int | None = None,
    ) -> SessionEvent:
        await self.get_session(context, session_id)

        with _reaching_the_store():
            event = await self._sessions.append(
                session_id, type, data, expected_sequence=expected_sequence
            )

        if event is None:
            # Expired or deleted in between, it is absent; otherwise somebody was faster.
            await self.get_session(context, session_id)
            raise Conflict("Somebody else wrote to this session.", code="core.session.sequence")

        return event

    async def replay_events(
        self,
        context: AuthenticatedContext,
        session_id: str,
        *,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[SessionEvent, ...]:
        if limit < 0 or not 0 <= after < 2**63:
            raise InvalidArgument("Neither limit nor sequence number may be negative.")

        await self.get_session(context, session_id)
        most = min(limit, _MAX_REPLAY)

        with _reaching_the_store():
            return await self._sessions.replay(session_id, after=after, limit=most)

    async def delete_session(self, context: AuthenticatedContext, session_id: str) -> bool:
        if await self._own(context, session_id) is None:
            return False

        with _reaching_the_store():
            return await self._sessions.delete(session_id)

    async def _own(self, context: AuthenticatedContext, session_id: str) -> Session | None:
        owner = session_owner(context)

        # A caller without a token owns nothing; to it, too, a stranger's session is absent.
        if owner is None:
            return None

        with _reaching_the_store():
            session = await self._sessions.get(session_id)

        return session if session is not None and session.owner == owner else None


@contextmanager
def _reaching_the_store() -> Generator[None]:
    try:
        yield
    except (OSError, SQLAlchemyError) as exc:
        raise Unavailable(
            "The store cannot be reached; try again.",
            code="core.store.unavailable",
            retry_after=1.0,
        ) from exc


def _no_session() -> NotFound:
    return NotFound("The session does not exist.", code="core.session.not_found")
