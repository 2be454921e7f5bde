"""Who asked, as upstreams may reach it while its request runs (see `Peer`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import anyio
import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import LOG_LEVEL_META_KEY
from mcp_types.jsonrpc import INVALID_PARAMS, INVALID_REQUEST
from pydantic import BaseModel, ConfigDict, ValidationError

from spindle_mcp.eras import MODERN
from spindle_mcp.surface.sessions import no_answer

if TYPE_CHECKING:
    from mcp.server import ServerRequestContext

    from spindle_mcp.surface.exchange import Asked
    from spindle_mcp.surface.http.answers import Answer
    from spindle_mcp.surface.http.posts import PlainCall
    from spindle_mcp.surface.sessions import Session
    from spindle_mcp.upstream.connections.base import Peer
    from spindle_spi.invocation import Progress, ProgressSink
    from spindle_spi.types import Json, JsonObject


class Silent:
    """Nobody: there is nothing to tell it, and nothing it can be asked."""

    key = ""
    is_session = False
    can_be_asked = False
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

    async def completed(self, link: str) -> None:
        """See `Peer`."""


class InvocationPeer(Silent):
    """Another module's caller: it hears how far a call is, and may answer in another round."""

    def __init__(self, capabilities: JsonObject, sink: ProgressSink | None) -> None:
        self._capabilities = capabilities
        self._sink = sink

    @property
    def capabilities(self) -> JsonObject:
        """See `Peer`."""
        return self._capabilities

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        if self._sink is not None:
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
    def can_be_asked(self) -> bool:
        """See `Peer`."""
        return self._peer.can_be_asked

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

    async def completed(self, link: str) -> None:
        """See `Peer`."""
        await self._peer.completed(link)


class _Raw(BaseModel):
    """A result whose fields nobody has looked at."""

    model_config = ConfigDict(extra="allow")


class ContextPeer:
    """The client of a request that the SDK handed us."""

    def __init__(
        self, ctx: ServerRequestContext[dict[str, Any]], asked: Asked, session: Session | None
    ) -> None:
        self._ctx = ctx
        self._asked = asked
        self._session = session
        self._capabilities: JsonObject | None = None

    @property
    def key(self) -> str:
        """See `Peer`."""
        return caller_key(self._asked) if self._session is None else self._session.key

    @property
    def is_session(self) -> bool:
        """See `Peer`."""
        return self._session is not None

    @property
    def can_be_asked(self) -> bool:
        """See `Peer`."""
        return self._session is not None

    @property
    def capabilities(self) -> JsonObject:
        """See `Peer`."""
        if self._session is not None:
            return self._session.capabilities

        # A session that has not said it is ready, or is one too many, has no way back.
        if self._ctx.protocol_version != MODERN:
            return {}

        if self._capabilities is None:
            self._capabilities = declared(self._ctx)

        return self._capabilities

    @property
    def log_level(self) -> str | None:
        """See `Peer`."""
        if self._session is not None:
            return self._session.log_level

        level: object = (self._ctx.meta or {}).get(LOG_LEVEL_META_KEY)
        return level if isinstance(level, str) else None

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        await self._ctx.session.report_progress(update.progress, update.total, update.message)

    async def log(self, params: JsonObject) -> None:
        """See `Peer`."""
        notification = log_message(params)

        if notification is not None:
            await self._ctx.session.send_notification(
                notification, related_request_id=self._ctx.request_id
            )

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """See `Peer`."""
        if self._session is None:
            raise MCPError(INVALID_REQUEST, f"The client cannot be asked: {method}")

        request = cast(
            "types.ServerRequest",
            types.Request[dict[str, Any], str](method=method, params=dict(params)),
        )

        try:
            with anyio.move_on_after(self._session.patience):
                answer = await self._ctx.session.send_request(
                    request, _Raw, metadata=ServerMessageMetadata(self._ctx.request_id)
                )
                return cast("dict[str, Json]", dict(answer.model_extra or {}))
        except ValidationError as exc:
            raise MCPError(INVALID_PARAMS, "The client's answer breaks the protocol.") from exc

        raise no_answer()

    async def completed(self, link: str) -> None:
        """See `Peer`."""
        if self._session is not None:
            await self._session.completed(link)


class AnswerPeer:
    """The client of a request that is answered round the SDK."""

    def __init__(
        self, asked: Asked, call: PlainCall, answer: Answer, session: Session | None
    ) -> None:
        self._asked = asked
        self._call = call
        self._answer = answer
        self._session = session

    @property
    def key(self) -> str:
        """See `Peer`."""
        return caller_key(self._asked) if self._session is None else self._session.key

    @property
    def is_session(self) -> bool:
        """See `Peer`."""
        return self._session is not None

    @property
    def can_be_asked(self) -> bool:
        """See `Peer`."""
        return self._session is not None

    @property
    def capabilities(self) -> JsonObject:
        """See `Peer`."""
        session = self._session
        return self._call.envelope.capabilities if session is None else session.capabilities

    @property
    def log_level(self) -> str | None:
        """See `Peer`."""
        session = self._session
        return self._call.envelope.log_level if session is None else session.log_level

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        if self._call.token is not None:
            await self._answer.progress(self._call.token, update)

    async def log(self, params: JsonObject) -> None:
        """See `Peer`."""
        notification = log_message(params)

        if notification is not None:
            said = notification.model_dump(by_alias=True, mode="json", exclude_none=True)
            await self._answer.say({"jsonrpc": "2.0", **said})

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """See `Peer`."""
        if self._session is None:
            raise MCPError(INVALID_REQUEST, f"The client cannot be asked: {method}")

        return await self._session.ask(self._answer.say, method, params)

    async def completed(self, link: str) -> None:
        """See `Peer`."""
        if self._session is not None:
            await self._session.completed(link)


def declared(ctx: ServerRequestContext[dict[str, Any]]) -> JsonObject:
    """Return the capabilities that a request's client declared."""
    capabilities = ctx.session.client_capabilities

    if capabilities is None:
        return {}

    return cast("JsonObject", capabilities.model_dump(by_alias=True, exclude_none=True))


def log_message(params: JsonObject) -> types.LoggingMessageNotification | None:
    """Return a log message as the SDK has it; None when it is said otherwise than it must be."""
    try:
        return types.LoggingMessageNotification.model_validate(
            {"method": "notifications/message", "params": params}
        )
    except ValidationError:
        return None


def caller_key(asked: Asked) -> str:
    """Return what tells callers apart who have no session."""
    subject = asked.call.context.subject
    return f"caller:{subject.token_id or ''}:{asked.call.server_slug or ''}"
