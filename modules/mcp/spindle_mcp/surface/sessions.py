"""Open sessions of clients that shook hands, as far as the accelerated path must know them.

The sessions themselves are the SDK's; one is here from the end of its handshake to its own end.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from mcp.shared.dispatcher import coerce_request_id
from mcp_types import RequestId

if TYPE_CHECKING:
    from spindle_mcp.surface.exchange import Asked

Owner = tuple[str | None, str | None]


def owner_of(asked: Asked) -> Owner:
    """Return whom a session belongs to: a credential on an endpoint."""
    return asked.call.context.subject.token_id, asked.call.server_slug


@dataclass(slots=True)
class Session:
    """One open session."""

    owner: Owner
    version: str
    seen_at: float = field(default_factory=time.monotonic)
    """When the SDK last saw a request of it; what goes round the SDK does not keep it alive."""
    calls: dict[RequestId, anyio.CancelScope] = field(
        default_factory=dict[RequestId, anyio.CancelScope]
    )

    def end(self) -> None:
        """Cancel what is still carried out for it."""
        for scope in self.calls.values():
            scope.cancel()


class Sessions:
    """The open sessions by id."""

    def __init__(self, *, idle_seconds: float) -> None:
        self._open: dict[str, Session] = {}
        self._show_again = idle_seconds / 4

    def add(self, session_id: str, owner: Owner, version: str) -> None:
        """Remember a session."""
        self._open.setdefault(session_id, Session(owner, version))

    def remove(self, session_id: str) -> None:
        """Forget a session that ended."""
        session = self._open.pop(session_id, None)

        if session is not None:
            session.end()

    def cancel(self, session_id: str, request_id: RequestId) -> None:
        """Cancel one call, if it is carried out here."""
        session = self._open.get(session_id)
        scope = None if session is None else session.calls.get(coerce_request_id(request_id))

        if scope is not None:
            scope.cancel()

    def usable(self, session_id: str, owner: Owner) -> Session | None:
        """Return a session for a request round the SDK.

        None also from time to time for a session in use, so that the SDK sees it is.
        """
        session = self._open.get(session_id)

        if session is None or session.owner != owner:
            return None

        now = time.monotonic()

        if now - session.seen_at > self._show_again:
            session.seen_at = now
            return None

        return session
