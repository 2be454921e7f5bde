"""Responses that are kept: each a session of its caller's, found again by its id alone."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_llm.surfaces.responses.input_items import listed_items
from spindle_spi.errors import NotFound, shortened
from spindle_spi.policy import session_owner
from spindle_spi.session_event import Session, SessionSpec
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_llm.surfaces.responses.form import ResponseForm
    from spindle_llm.surfaces.responses.request import ResponseRequest
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.session_event import SessionEventService

KIND = "llm.response"
ALIVE_SECONDS = 20.0
"""How often a response in the background says that somebody still works on it."""

_LOST_AFTER = 6 * ALIVE_SECONDS
"""Seconds of silence after which nobody does any more."""
_ENDED = "ended"
_ALIVE = "alive"
_CANCEL = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """A response as it was kept."""

    session: Session
    shown: JsonObject
    message: JsonObject | None
    """What the model said; None while it has not."""
    is_cancelled: bool = False
    """Somebody asked to cancel it."""

    @property
    def id(self) -> str:
        """Its id."""
        return self.session.key or ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be said."""
        return self.shown.get("status") not in ("queued", "in_progress")

    @property
    def messages(self) -> list[Json]:
        """What was said up to its end, to go on from."""
        said = self.session.data.get("messages")
        before = said if isinstance(said, list) else []
        return [*before, *([] if self.message is None else [self.message])]

    @property
    def input(self) -> list[JsonObject]:
        """Its own input items."""
        items = self.session.data.get("input")
        items = items if isinstance(items, list) else []
        return [item for item in items if isinstance(item, dict)]


class ResponseStore:
    """Keeps responses for their owners; a stranger's is absent."""

    def __init__(self, sessions: SessionEventService, *, ttl: float) -> None:
        self._sessions = sessions
        self._ttl = ttl

    async def keep(
        self,
        context: AuthenticatedContext,
        request: ResponseRequest,
        form: ResponseForm,
        messages: Sequence[Json],
    ) -> Session:
        """Keep a response as it is now, with the messages that were said before it.

        Raises:
            PermissionDenied: The caller is nobody in particular.
            Unavailable: The store cannot be reached.
        """
        items = listed_items(request.data.get("input"))
        suffix = form.id.removeprefix("resp_")
        data: JsonObject = {
            "response": form.shown(),
            "messages": [*messages],
            "input": [
                {"id": f"in_{suffix}{number:02d}", **item} for number, item in enumerate(items)
            ],
        }

        if form.is_over:
            data["message"] = form.message()

        spec = SessionSpec(kind=KIND, key=form.id, ttl=self._ttl, data=data)
        return await self._sessions.create_session(context, spec)

    async def find(self, context: AuthenticatedContext, response_id: str) -> StoredResponse:
        """Return the caller's response.

        Raises:
            NotFound: Absent, expired, or somebody else's.
        """
        session = await self._sessions.find_session(context, KIND, response_id)

        if session is None:
            raise not_found(response_id)

        shown, message = session.data.get("response"), session.data.get("message")
        shown = shown if isinstance(shown, dict) else {}
        is_cancelled = False

        if shown.get("status") in ("queued", "in_progress"):
            last = session.created_at

            for event in await self._sessions.replay_events(context, session.id):
                last = event.at
                is_cancelled = is_cancelled or event.type == _CANCEL

                if event.type == _ENDED:
                    said = event.data.get("response")
                    shown = said if isinstance(said, dict) else shown
                    message = event.data.get("message")

            if shown.get("status") in ("queued", "in_progress"):
                # Whoever asked to cancel it was told that it is, before its end is written.
                shown = {**shown, "status": "cancelled"} if is_cancelled else _as_told(shown, last)

        return StoredResponse(
            session=session,
            shown=shown,
            message=message if isinstance(message, dict) else None,
            is_cancelled=is_cancelled,
        )

    async def end(
        self, context: AuthenticatedContext, session: Session, form: ResponseForm
    ) -> None:
        """Write the end of a response that was kept when it began; gone is gone."""
        data: JsonObject = {"response": form.shown(), "message": form.message()}
        await self._append(context, session, _ENDED, data)

    async def live(self, context: AuthenticatedContext, session: Session) -> bool:
        """Say that somebody works on it; False when it was cancelled or deleted meanwhile."""
        if not await self._append(context, session, _ALIVE, {}):
            return False

        events = await self._sessions.replay_events(context, session.id)
        return not any(event.type == _CANCEL for event in events)

    async def cancel(self, context: AuthenticatedContext, session: Session) -> None:
        """Ask whoever works on it, in whichever process, to stop."""
        await self._append(context, session, _CANCEL, {})

    async def delete(self, context: AuthenticatedContext, response_id: str) -> None:
        """Forget the caller's response.

        Raises:
            NotFound: Absent, expired, or somebody else's.
        """
        session = await self._sessions.find_session(context, KIND, response_id)

        if session is None or not await self._sessions.delete_session(context, session.id):
            raise not_found(response_id)

    async def _append(
        self, context: AuthenticatedContext, session: Session, kind: str, data: JsonObject
    ) -> bool:
        try:
            await self._sessions.append_event(context, session.id, kind, data)
        except NotFound:
            return False

        return True


def new_response_id() -> str:
    """Return an id nobody can guess."""
    return f"resp_{secrets.token_hex(20)}"


def can_keep(context: AuthenticatedContext) -> bool:
    """Tell whether the caller is somebody for whom a response can be kept."""
    return session_owner(context) is not None


def not_found(response_id: str) -> NotFound:
    """Return the answer for a response that is absent, or a stranger's: nobody can tell which."""
    return NotFound(
        f"Response with id {shortened(response_id)!r} not found.",
        code="llm.response.not_found",
    )


def _as_told(shown: JsonObject, last: float) -> JsonObject:
    """Return an unfinished response; as failed when nobody works on it any more."""
    if time.time() - last < _LOST_AFTER:
        return shown

    error: JsonObject = {
        "code": "server_error",
        "message": "The gateway stopped while it answered.",
    }
    return {**shown, "status": "failed", "error": error}
