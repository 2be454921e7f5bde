"""A chat session over its event log: what it is, what was said, and how a turn is written down."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from spindle_llm.chat.history import EventType, History, fold
from spindle_spi.errors import Conflict, NotFound, Unavailable
from spindle_spi.session_event import Session, SessionEventService, SessionSpec
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from spindle_llm.chat.settings import ChatSettings
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.services import Services

KIND = "llm.chat"

_EVENTS_PER_MESSAGE = 4
"""How many events are read for each message of the history."""
_CLOSE_SECONDS = 5.0
"""How long writing an event may take, and so how long a turn may outlive its deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSession:
    """A caller's chat, as it was made."""

    stored: Session
    model: str
    server: JsonObject | None
    options: JsonObject
    """Members of every request to the model: temperature, max_tokens."""


async def create(
    services: Services,
    context: AuthenticatedContext,
    user_id: str,
    settings: ChatSettings,
    data: JsonObject,
) -> None:
    """Make the caller's session anew; an earlier one and its history are gone.

    Raises:
        Conflict: Another one was made meanwhile, and replaced this one.
    """
    sessions = services.session_event
    spec = SessionSpec(kind=KIND, key=user_id, ttl=settings.ttl_seconds, data=data)
    session = await sessions.create_session(context, spec)

    try:
        await sessions.append_event(context, session.id, EventType.CONNECTED.value, data)
    except NotFound as exc:
        raise Conflict(
            "Another connection has replaced this chat.", code="llm.chat.replaced"
        ) from exc


async def find(
    services: Services, context: AuthenticatedContext, user_id: str
) -> ChatSession | None:
    """Return the caller's live session, if there is one."""
    stored = await services.session_event.find_session(context, KIND, user_id)

    if stored is None:
        return None

    server, options = stored.data.get("server"), stored.data.get("options")
    return ChatSession(
        stored=stored,
        model=str(stored.data.get("model")),
        server=server if isinstance(server, dict) else None,
        options=options if isinstance(options, dict) else {},
    )


async def read_history(
    services: Services,
    context: AuthenticatedContext,
    session: ChatSession,
    settings: ChatSettings,
) -> History:
    """Return what was said so far.

    Raises:
        Conflict: A turn is running.
        Unavailable: The session has ended, or another one has replaced it.
    """
    stored = session.stored
    window = settings.max_messages * _EVENTS_PER_MESSAGE

    try:
        events = await services.session_event.replay_events(
            context, stored.id, after=max(0, stored.last_sequence - window), limit=window
        )
    except NotFound as exc:
        raise _ended() from exc

    # The message that is about to be said is one of those the model is sent.
    history = fold(events, max_messages=settings.max_messages - 1)
    since = history.open_since

    if since is not None and time.time() - since < settings.turn_timeout + _CLOSE_SECONDS:
        raise Conflict("This chat is still answering.", code="llm.chat.turn_running")

    return history


class TurnLog:
    """Writes one turn's events; another writer in between is noticed and ends the turn."""

    def __init__(
        self,
        sessions: SessionEventService,
        context: AuthenticatedContext,
        session: ChatSession,
        last_sequence: int,
    ) -> None:
        self._sessions = sessions
        self._context = context
        self._id = session.stored.id
        self._last = last_sequence

    async def add(self, kind: EventType, data: JsonObject) -> None:
        """Append an event.

        Raises:
            Conflict: Somebody else wrote into this session.
            Unavailable: The session has ended, or another one has replaced it.
        """
        try:
            # A write that is cancelled half-way could leave an event this log does not know of.
            with anyio.fail_after(_CLOSE_SECONDS, shield=True):
                event = await self._sessions.append_event(
                    self._context, self._id, kind.value, data, expected_sequence=self._last
                )
        except NotFound as exc:
            raise _ended() from exc

        self._last = event.sequence

    async def fail(self, reason: str) -> None:
        """End the turn without an answer; a session that is gone needs no end."""
        try:
            await self.add(EventType.FAILED, {"reason": reason})
        except (Conflict, Unavailable, TimeoutError):
            return


def _ended() -> Unavailable:
    return Unavailable(
        "The session of this chat has ended; connect again.",
        code="llm.chat.session_unusable",
        retryable=False,
    )
