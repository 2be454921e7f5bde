"""SessionEventService: sessions as event logs, so that any replica can serve any turn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from spindle_spi.context import AuthenticatedContext
from spindle_spi.types import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSpec:
    """What a new session is to be."""

    kind: str
    """`<module>.<purpose>`, such as `llm.chat`."""
    key: str | None = None
    """A caller's own handle; a new session under the same kind and key replaces the old one."""
    ttl: float = 3600.0
    """Seconds after the last event."""
    data: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A stored session; its owner is the caller who created it."""

    id: str
    kind: str
    owner: str
    """Opaque identity of the owner: a person, or a service token."""
    created_at: float
    expires_at: float
    key: str | None = None
    data: JsonObject = field(default_factory=dict[str, Json])
    last_sequence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """One thing that happened in a session; sequence numbers start at 1 without gaps."""

    sequence: int
    type: str
    at: float
    data: JsonObject = field(default_factory=dict[str, Json])


class SessionEventService(ABC):
    """Owner-checked event logs. A stranger's session is NOT_FOUND, whatever they hold."""

    @abstractmethod
    async def create_session(self, context: AuthenticatedContext, spec: SessionSpec) -> Session:
        """Create a session owned by the caller, replacing theirs of the same kind and key."""

    @abstractmethod
    async def get_session(self, context: AuthenticatedContext, session_id: str) -> Session:
        """Return the caller's session.

        Raises:
            NotFound: Absent, expired, or somebody else's.
        """

    @abstractmethod
    async def find_session(
        self, context: AuthenticatedContext, kind: str, key: str
    ) -> Session | None:
        """Return the caller's live session of a kind and key, if there is one."""

    @abstractmethod
    async def validate_session_owner(self, context: AuthenticatedContext, session_id: str) -> bool:
        """Tell whether the session exists and is the caller's."""

    @abstractmethod
    async def append_event(
        self,
        context: AuthenticatedContext,
        session_id: str,
        type: str,
        data: JsonObject,
        *,
        expected_sequence: int | None = None,
    ) -> SessionEvent:
        """Append an event and extend the session's life.

        Raises:
            NotFound: Absent, expired, or somebody else's.
            Conflict: `expected_sequence` is not the last one: somebody else appended.
        """

    @abstractmethod
    async def replay_events(
        self,
        context: AuthenticatedContext,
        session_id: str,
        *,
        after: int = 0,
        limit: int = 1000,
    ) -> tuple[SessionEvent, ...]:
        """Return events after a sequence number, in order.

        Raises:
            NotFound: Absent, expired, or somebody else's.
        """

    @abstractmethod
    async def delete_session(self, context: AuthenticatedContext, session_id: str) -> bool:
        """Delete the caller's session; False when there was none."""
