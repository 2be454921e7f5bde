"""Open sessions of clients that shook hands, as far as we must know them ourselves.

The sessions themselves are the SDK's; one is here from the end of its handshake to its own end.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.exceptions import MCPError
from mcp_types import (
    ElicitCompleteNotification,
    ElicitCompleteNotificationParams,
    RequestId,
    ServerNotification,
)
from mcp_types.jsonrpc import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST
from mcp_types.methods import validate_client_result
from pydantic import ValidationError

from spindle_mcp.capabilities import callbacks_in
from spindle_mcp.surface.shares import Shares
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from spindle_mcp.surface.exchange import Asked
    from spindle_mcp.surface.http.answers import Answer

DEFAULT_LEVEL: Final = "info"
"""What a session is told that never said which log messages it wants: so the protocol leaves it."""
_COURTESY_SECONDS: Final = 2.0
_HASTE: Final = 20
"""A client that left while it was asked may take so much less of its time."""
_COMPLETES: Final = "2025-11-25"
"""The first revision in which servers say that what a page was visited for is done."""

Owner = tuple[str | None, str | None]


def owner_of(asked: Asked) -> Owner:
    """Return whom a session belongs to: a credential on an endpoint."""
    return asked.call.context.subject.token_id, asked.call.server_slug


class _Question:
    """What a client is asked on the stream of one of its requests."""

    __slots__ = ("is_settled", "reply")

    def __init__(self) -> None:
        self.reply: JsonObject | None = None
        """The whole JSON-RPC response."""
        self.is_settled = anyio.Event()


@dataclass(slots=True)
class Session:
    """One open session."""

    id: str
    owner: Owner
    version: str
    capabilities: JsonObject = field(default_factory=dict[str, Json])
    """What its client declared."""
    level: str | None = None
    """The least level of log messages it asked for."""
    patience: float = 600.0
    """Seconds its client may take to answer a question."""
    tell: Callable[[ServerNotification], Awaitable[None]] | None = None
    """Says something on the stream of the session as a whole."""
    seen_at: float = field(default_factory=time.monotonic)
    """When the SDK last saw a request of it; what goes round the SDK does not keep it alive."""
    calls: dict[RequestId, anyio.CancelScope] = field(
        default_factory=dict[RequestId, anyio.CancelScope]
    )
    questions: dict[str, _Question] = field(default_factory=dict[str, _Question])
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def key(self) -> str:
        """What names it to upstreams."""
        return f"session:{self.id}"

    @property
    def log_level(self) -> str | None:
        """The least level of log messages it gets; one that never said gets the usual ones."""
        return self.level or (DEFAULT_LEVEL if callbacks_in(self.capabilities) else None)

    async def ask(self, answer: Answer, method: str, params: JsonObject) -> JsonObject:
        """Ask the client by a message on the stream of one of its requests; returns the result.

        It answers by another request, so one that has left may do so still, if soon.

        Raises:
            MCPError: The client refused, or what it answered breaks the protocol.
        """
        question, name = _Question(), f"spindle-{next(self._numbers)}"
        self.questions[name] = question

        try:
            await answer.say({"jsonrpc": "2.0", "id": name, "method": method, "params": params})

            with anyio.move_on_after(self.patience) as waiting:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._hasten, answer, waiting)
                    await question.is_settled.wait()
                    group.cancel_scope.cancel()

            if waiting.cancelled_caught:
                await answer.say(_cancelling(name))
                raise no_answer()
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_COURTESY_SECONDS, shield=True):
                await answer.say(_cancelling(name))

            raise
        finally:
            del self.questions[name]

        return _result_of(question.reply or {}, method, self.version)

    async def _hasten(self, answer: Answer, waiting: anyio.CancelScope) -> None:
        """Have a client that has left answer soon: who left may not have read the question."""
        await answer.left()
        soon = anyio.current_time() + self.patience / _HASTE
        waiting.deadline = min(waiting.deadline, soon)

    async def completed(self, link: str) -> None:
        """Say that what a page was visited for is done, where the client knows such words."""
        if self.tell is None or self.version < _COMPLETES:
            return

        params = ElicitCompleteNotificationParams(elicitation_id=link)

        with anyio.move_on_after(_COURTESY_SECONDS):
            await self.tell(ElicitCompleteNotification(params=params))

    def settle(self, reply: JsonObject) -> bool:
        """Take a response of the client; False when it answers nothing of ours."""
        name = reply.get("id")
        question = self.questions.get(name) if isinstance(name, str) else None

        if question is None or question.is_settled.is_set():
            return False

        question.reply = reply
        question.is_settled.set()
        return True

    def end(self) -> None:
        """Cancel what is still carried out for it."""
        for scope in self.calls.values():
            scope.cancel()


class Sessions:
    """The open sessions by id."""

    def __init__(self, *, idle_seconds: float, most: int) -> None:
        self._open: dict[str, Session] = {}
        self.shares = Shares(most)
        self._show_again = idle_seconds / 4

    def add(self, session: Session) -> None:
        """Remember a session."""
        self._open.setdefault(session.id, session)

    def find(self, session_id: str | None) -> Session | None:
        """Return a session of whose owner somebody else has made sure."""
        return None if session_id is None else self._open.get(session_id)

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

    def owned(self, session_id: str, owner: Owner) -> Session | None:
        """Return a session if it is its owner who asks."""
        session = self._open.get(session_id)
        return session if session is not None and session.owner == owner else None

    def is_due(self, session: Session) -> bool:
        """Tell from time to time that a session in use should show itself to the SDK."""
        now = time.monotonic()

        if now - session.seen_at <= self._show_again:
            return False

        session.seen_at = now
        return True


def no_answer() -> MCPError:
    """Return what an upstream is told of a client that did not answer."""
    return MCPError(INVALID_REQUEST, "The client did not answer in time.")


def _result_of(reply: JsonObject, method: str, version: str) -> JsonObject:
    error, result = reply.get("error"), reply.get("result")

    if isinstance(error, dict):
        code, message = error.get("code"), error.get("message")
        raise MCPError(
            code if isinstance(code, int) else INTERNAL_ERROR,
            message if isinstance(message, str) else "",
            error.get("data"),
        )

    if not isinstance(result, dict):
        raise MCPError(INVALID_PARAMS, "The client's answer breaks the protocol.")

    try:
        validate_client_result(method, version, result)
    except ValidationError as exc:
        raise MCPError(INVALID_PARAMS, "The client's answer breaks the protocol.") from exc

    return result


def _cancelling(name: str) -> JsonObject:
    params: JsonObject = {"requestId": name, "reason": "nobody waits for the answer"}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
