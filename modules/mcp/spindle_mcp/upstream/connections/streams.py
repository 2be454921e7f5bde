"""How messages travel to an upstream: a pair of streams that somebody opens and closes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import anyio
from mcp.shared.message import SessionMessage
from mcp_types.jsonrpc import (
    INVALID_REQUEST,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
    JSONRPCResponse,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from spindle_mcp.upstream.faults import ProgramEnded, TooLong, Unreachable

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from anyio.streams.memory import MemoryObjectSendStream
    from mcp.client._transport import TransportStreams as TransportStreams
    from mcp_types.jsonrpc import JSONRPCMessage, RequestId

    from spindle_spi.errors import UpstreamError
    from spindle_spi.types import Json

MessageStreams: TypeAlias = "AbstractAsyncContextManager[TransportStreams]"
"""Gives what the SDK's sessions read from and write to; entered and left in one task."""

TRANSPORT_FAILED: Final = -32090
"""Our own JSON-RPC code for a message that was not delivered; never leaves the process."""
TOO_LONG: Final = -32091
"""The same for an answer longer than is taken."""
PROGRAM_ENDED: Final = -32092
"""The same for an answer that a program owes which is no more; its data is the exit status."""
NO_MESSAGES: Final = -32093
"""The same for an answer of an upstream that writes no messages."""


class Arrivals:
    """What arrives for a session: messages, and errors for the requests that get no answer."""

    def __init__(self, send: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        self._send = send
        self._unanswered: set[RequestId] = set()

    def expect(self, message: JSONRPCMessage) -> None:
        """Note that a request is on its way."""
        if isinstance(message, JSONRPCRequest):
            self._unanswered.add(message.id)

    async def take(self, message: Json) -> bool:
        """Hand on what came; False when it is no message."""
        try:
            read = jsonrpc_message_adapter.validate_python(message, by_name=False)
        except ValidationError:
            return False

        if isinstance(read, JSONRPCResponse | JSONRPCError) and read.id is not None:
            self._unanswered.discard(read.id)

        await self._hand_on(read)
        return True

    async def fail(self, message: JSONRPCMessage, code: int) -> None:
        """Answer a request that could not be delivered; it must not fail the others."""
        if isinstance(message, JSONRPCRequest):
            await self._fail(message.id, code)

    async def fail_all(self, failure: UpstreamError) -> None:
        """Answer all that nobody will answer any more."""
        for request in tuple(self._unanswered):
            await self._fail(request, _code_of(failure), data=getattr(failure, "status", None))

    async def lose_session(self, message: JSONRPCMessage) -> None:
        """Answer a request whose session the upstream does not know."""
        if isinstance(message, JSONRPCRequest):
            await self._fail(message.id, INVALID_REQUEST, "Session not found")

    async def _fail(
        self,
        request: RequestId,
        code: int,
        text: str = "transport error",
        *,
        data: int | None = None,
    ) -> None:
        self._unanswered.discard(request)
        error = ErrorData(code=code, message=text, data=data)
        await self._hand_on(JSONRPCError(jsonrpc="2.0", id=request, error=error))

    async def _hand_on(self, message: JSONRPCMessage) -> None:
        try:
            await self._send.send(SessionMessage(message))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            # The session has ended, and nobody waits.
            self._unanswered.clear()


def written(message: JSONRPCMessage) -> bytes:
    """Return a message as it goes over the wire."""
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode()


def _code_of(failure: UpstreamError) -> int:
    if isinstance(failure, ProgramEnded):
        return PROGRAM_ENDED

    if isinstance(failure, TooLong):
        return TOO_LONG

    return TRANSPORT_FAILED if isinstance(failure, Unreachable) else NO_MESSAGES
