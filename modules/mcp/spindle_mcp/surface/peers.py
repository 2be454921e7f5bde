"""Who asked, as upstreams may reach it while its request runs (see `Peer`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import LOG_LEVEL_META_KEY
from mcp_types.jsonrpc import INVALID_PARAMS, INVALID_REQUEST
from pydantic import BaseModel, ConfigDict, ValidationError

from spindle_mcp.capabilities import callbacks_in
from spindle_mcp.eras import MODERN

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

    from spindle_mcp.surface.exchange import Asked
    from spindle_mcp.upstream.base import Peer
    from spindle_spi.invocation import Progress, ProgressSink
    from spindle_spi.types import Json, JsonObject

DEFAULT_LEVEL: Final = "info"
"""What a session is told that never said which log messages it wants: so the protocol leaves it."""


class Silent:
    """Nobody: there is nothing to tell it, and nothing it can be asked."""

    key = ""
    is_session = False
    log_level: str | None = None

    @property
    def capabilities(self) -> JsonObject:
        """See `Peer`."""
        return {}

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""

    async def log(self, params: JsonObject) -> None:
        """See `Peer`."""

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """See `Peer`."""
        del params
        raise MCPError(INVALID_REQUEST, f"The client cannot be asked: {method}")


class SinkPeer(Silent):
    """Somebody who only wants to know how far a call is."""

    def __init__(self, sink: ProgressSink) -> None:
        self._sink = sink

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        await self._sink(update)


class WrappedPeer:
    """Another peer, to which whoever derives from this adds something."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    @property
    def key(self) -> str:
        """See `Peer`."""
        return self._peer.key

    @property
    def is_session(self) -> bool:
        """See `Peer`."""
        return self._peer.is_session

    @property
    def capabilities(self) -> JsonObject:
        """See `Peer`."""
        return self._peer.capabilities

    @property
    def log_level(self) -> str | None:
        """See `Peer`."""
        return self._peer.log_level

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        await self._peer.progress(update)

    async def log(self, params: JsonObject) -> None:
        """See `Peer`."""
        await self._peer.log(params)

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """See `Peer`."""
        return await self._peer.ask(method, params)


class _Raw(BaseModel):
    """A result whose fields nobody has looked at."""

    model_config = ConfigDict(extra="allow")


class ContextPeer:
    """The client of a request that the SDK handed us."""

    def __init__(
        self, ctx: ServerRequestContext[dict[str, Any]], asked: Asked, session_id: str | None
    ) -> None:
        self._ctx = ctx
        self._asked = asked
        self._session_id = session_id
        self._capabilities: JsonObject | None = None

    @property
    def key(self) -> str:
        """See `Peer`."""
        if self._session_id is not None:
            return f"session:{self._session_id}"

        return caller_key(self._asked)

    @property
    def is_session(self) -> bool:
        """See `Peer`."""
        return self._session_id is not None

    @property
    def capabilities(self) -> JsonObject:
        """See `Peer`."""
        if self._capabilities is None:
            declared = self._ctx.session.client_capabilities
            self._capabilities = (
                {}
                if declared is None
                else cast("JsonObject", declared.model_dump(by_alias=True, exclude_none=True))
            )

        return self._capabilities

    @property
    def log_level(self) -> str | None:
        """See `Peer`."""
        if self._ctx.protocol_version == MODERN:
            level: object = (self._ctx.meta or {}).get(LOG_LEVEL_META_KEY)
            return level if isinstance(level, str) else None

        return DEFAULT_LEVEL if callbacks_in(self.capabilities) else None

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        await self._ctx.session.report_progress(update.progress, update.total, update.message)

    async def log(self, params: JsonObject) -> None:
        """See `Peer`."""
        try:
            notification = types.LoggingMessageNotification.model_validate(
                {"method": "notifications/message", "params": params}
            )
        except ValidationError:
            # An upstream that says it otherwise than the protocol does is not heard.
            return

        await self._ctx.session.send_notification(
            notification, related_request_id=self._ctx.request_id
        )

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """See `Peer`."""
        request = cast(
            "types.ServerRequest",
            types.Request[dict[str, Any], str](method=method, params=dict(params)),
        )

        try:
            answer = await self._ctx.session.send_request(
                request, _Raw, metadata=ServerMessageMetadata(self._ctx.request_id)
            )
        except ValidationError as exc:
            raise MCPError(INVALID_PARAMS, "The client's answer breaks the protocol.") from exc

        return cast("dict[str, Json]", dict(answer.model_extra or {}))


def caller_key(asked: Asked) -> str:
    """Return what tells callers apart who have no session."""
    subject = asked.call.context.subject
    return f"caller:{subject.token_id or ''}:{asked.call.server_slug or ''}"
