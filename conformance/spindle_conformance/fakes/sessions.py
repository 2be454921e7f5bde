"""Sessions in memory, with the ownership rules of the core."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spindle_conformance.fakes.refusals import Refusals
from spindle_spi.errors import Conflict, InvalidArgument, NotFound, PermissionDenied
from spindle_spi.policy import session_owner
from spindle_spi.session_event import Session, SessionEvent, SessionEventService, SessionSpec

if TYPE_CHECKING:
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject

_MAX_REPLAY = 10_000
_MAX_TTL = 366 * 24 * 3600.0


@dataclass(slots=True, kw_only=True)
class FakeSessions(SessionEventService):
    """Sessions by id, with their events; a stranger's is absent."""

    refusals: Refusals
    clock: Callable[[], float]
    held: dict[str, Session] = field(default_factory=dict[str, Session])
    events: dict[str, list[SessionEvent]] = field(default_factory=dict[str, list[SessionEvent]])
    """By the session's id."""
    _ttl: dict[str, float] = field(default_factory=dict[str, float])
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def create_session(self, context: AuthenticatedContext, spec: SessionSpec) -> Session:
        self.refusals.check("create_session")
        owner = session_owner(context)

        if owner is None:
            raise PermissionDenied("Sessions need a token.", code="core.session.anonymous")

        if not 0 < spec.ttl <= _MAX_TTL:
            raise InvalidArgument("A session lives longer than 0 seconds and a year at most.")

        replaced = None if spec.key is None else self._named(owner, spec.kind, spec.key)

        if replaced is not None:
            self._forget(replaced.id)

        now = self.clock()
        session = Session(
            id=f"session-{next(self._numbers)}",
            kind=spec.kind,
            owner=owner,
            created_at=now,
            expires_at=now + spec.ttl,
            key=spec.key,
            data=copy.deepcopy(spec.data),
        )
        self.held[session.id] = session
        self.events[session.id] = []
        self._ttl[session.id] = spec.ttl
        return session

    async def get_session(self, context: AuthenticatedContext, session_id: str) -> Session:
        self.refusals.check("get_session")
        return self._own(context, session_id)

    async def find_session(
        self, context: AuthenticatedContext, kind: str, key: str
    ) -> Session | None:
        self.refusals.check("find_session")
        owner = session_owner(context)
        return None if owner is None else self._named(owner, kind, key)

    async def validate_session_owner(self, context: AuthenticatedContext, session_id: str) -> bool:
        self.refusals.check("validate_session_owner")

        try:
            self._own(context, session_id)
        except NotFound:
            return False

        return True

    async def append_event(
        self,
        context: AuthenticatedContext,
        session_id: str,
        type: str,
        data: JsonObject,
        *,
        expected_sequence: int | None = None,
    ) -> SessionEvent:
        self.refusals.check("append_event")
        session, now = self._own(context, session_id), self.clock()

        if expected_sequence not in (None, session.last_sequence):
            raise Conflict("Somebody else wrote to this session.", code="core.session.sequence")

        event = SessionEvent(
            sequence=session.last_sequence + 1, type=type, at=now, data=copy.deepcopy(data)
        )
        self.events[session_id].append(event)
        self.held[session_id] = replace(
            session, last_sequence=event.sequence, expires_at=now + self._ttl[session_id]
        )
        return event

    async def replay_events(
        self,
        context: AuthenticatedContext,
        session_id: str,
        *,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[SessionEvent, ...]:
        self.refusals.check("replay_events")

        if limit < 0 or not 0 <= after < 2**63:
            raise InvalidArgument("Neither limit nor sequence number may be negative.")

        self._own(context, session_id)
        return tuple(self.events[session_id][after : after + min(limit, _MAX_REPLAY)])

    async def delete_session(self, context: AuthenticatedContext, session_id: str) -> bool:
        self.refusals.check("delete_session")

        if not await self.validate_session_owner(context, session_id):
            return False

        self._forget(session_id)
        return True

    def _own(self, context: AuthenticatedContext, session_id: str) -> Session:
        session, owner = self.held.get(session_id), session_owner(context)

        # A caller without a token owns nothing; to it, too, a stranger's session is absent.
        if session is None or owner is None or session.owner != owner or not self._lives(session):
            raise NotFound("The session does not exist.", code="core.session.not_found")

        return session

    def _named(self, owner: str, kind: str, key: str) -> Session | None:
        wanted = (owner, kind, key)
        found = (one for one in self.held.values() if (one.owner, one.kind, one.key) == wanted)
        return next((one for one in found if self._lives(one)), None)

    def _lives(self, session: Session) -> bool:
        return session.expires_at > self.clock()

    def _forget(self, session_id: str) -> None:
        del self.held[session_id], self.events[session_id], self._ttl[session_id]
