"""Sessions of people who logged in, as the request path knows them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from spindle.credentials import Credential
from spindle.federation.jwt import refused
from spindle.federation.waiting import KeysNeeded
from spindle.federation.worth import Generations
from spindle.people import credential_of
from spindle.store.logins import LoginRow
from spindle.tokens import hash_token
from spindle_spi.errors import GatewayError
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spindle.config.auth import OidcSettings
    from spindle.snapshot import Snapshot
    from spindle.snapshots import Snapshots
    from spindle.store import Store
    from spindle_spi.context import Subject

_LOG = structlog.get_logger("spindle.federation")

MARK: Final = "login_"
"""How the ids of sessions begin."""

COOKIE_MARK: Final = "sps_"
_BYTES = 32
_NOTED_SECONDS = 60.0
"""How exactly the store knows when a session was last used."""


@dataclass(slots=True, kw_only=True)
class _Live:
    """A session in force."""

    id: str
    email: str
    expires_at: float
    seen_at: float
    noted_at: float
    """The use that the store knows of."""
    generation: int = -1
    credential: Credential | None = None


class LoginSessions:
    """Follows the store; using a session writes nothing on the request path."""

    def __init__(
        self,
        settings: OidcSettings,
        store: Store,
        snapshots: Snapshots,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._store = store
        self._snapshots = snapshots
        self.clock = clock
        self._generations = Generations()
        self._by_hash: dict[str, _Live] = {}
        self._by_id: dict[str, _Live] = {}

    async def read(self) -> Callable[[], None]:
        """Read the sessions; see `spindle.snapshots.Follower`."""
        rows = await self._store.logins.live()

        def put() -> None:
            self._put(rows)

        return put

    def resolve(self, hashed: str, snapshot: Snapshot) -> Credential:
        """Return what a session is worth now.

        Raises:
            Unauthenticated: There is none in force, or its person is gone or disabled.
            KeysNeeded: It seems idle; another replica may have seen it.
        """
        live, now = self._by_hash.get(hashed), self.clock()

        if live is None or live.expires_at <= now:
            raise refused()

        if live.seen_at + self._settings.session_idle_seconds <= now:
            raise KeysNeeded(lambda: self._look_again(live))

        person = snapshot.people.users.get(live.email)

        if person is None or person.is_disabled:
            raise refused()

        live.seen_at = now
        generation = self._generations.number(snapshot.people)

        if live.generation != generation or live.credential is None:
            live.credential = credential_of(
                person,
                snapshot.people,
                token_id=live.id,
                claimed_teams=None,
                expires_at=live.expires_at,
            )
            live.generation = generation

        return live.credential

    def is_current(self, subject: Subject) -> bool:
        """Tell whether a caller's session is in force."""
        live = self._by_id.get(subject.token_id or "")
        return live is not None and live.expires_at > self.clock()

    async def open(self, email: str) -> Secret:
        """Open a session for a person; returns what their browser is to hold."""
        text, now = COOKIE_MARK + secrets.token_urlsafe(_BYTES), self.clock()
        row = LoginRow(
            id=MARK + uuid4().hex,
            hash=hash_token(text),
            user_email=email,
            created_at=now,
            seen_at=now,
            expires_at=now + self._settings.session_seconds,
        )
        await self._store.logins.open(row, self._settings.sessions_per_person)
        await self._snapshots.refresh()
        return Secret(text)

    async def end(self, session_id: str) -> None:
        """End a session: no request is made with it here any more, and elsewhere after a poll.

        What runs is cut by that poll as well, so that the request that ends it has its answer.
        """
        await self._store.logins.revoke(session_id)
        self._by_hash = {
            hashed: live for hashed, live in self._by_hash.items() if live.id != session_id
        }

    async def note(self) -> None:
        """Tell the store which sessions were used since it was told."""
        used = {
            live.id: live.seen_at
            for live in self._by_id.values()
            if live.seen_at - live.noted_at >= _NOTED_SECONDS
        }

        if not used:
            return

        try:
            await self._store.logins.touch(used)
        except (OSError, SQLAlchemyError, GatewayError) as exc:
            _LOG.warning("use of sessions not noted, trying again", kind=type(exc).__name__)
            return

        for session_id, at in used.items():
            live = self._by_id.get(session_id)

            if live is not None:
                live.noted_at = at

    def count(self) -> int:
        """Return how many sessions are in force."""
        return len(self._by_hash)

    async def _look_again(self, live: _Live) -> None:
        row = await self._store.logins.get(live.id)

        if row is not None and row.revoked_at is None:
            live.seen_at = max(live.seen_at, row.seen_at)

        if live.seen_at + self._settings.session_idle_seconds <= self.clock():
            await self.end(live.id)

    def _put(self, rows: Sequence[LoginRow]) -> None:
        before = self._by_id
        self._by_hash = {row.hash: _live(row, before.get(row.id)) for row in rows}
        self._by_id = {live.id: live for live in self._by_hash.values()}


def _live(row: LoginRow, before: _Live | None) -> _Live:
    seen_at = row.seen_at if before is None else max(row.seen_at, before.seen_at)
    return _Live(
        id=row.id,
        email=row.user_email,
        expires_at=row.expires_at,
        seen_at=seen_at,
        noted_at=row.seen_at,
    )
