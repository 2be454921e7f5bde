"""The short way of plain requests: no task group, no streams, no models.

Same decisions, same answers as the SDK's way; a test compares the two. Off by `mcp.accelerated`.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - the hot path: watching for a departure costs a tenth of a task group
from typing import TYPE_CHECKING, Final

import anyio
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS
from mcp_types import SERVER_INFO_META_KEY

from spindle_mcp.eras import MODERN, for_wire, written
from spindle_mcp.results import GET, READ, on_wire
from spindle_mcp.surface.dialogue.peers import AnswerPeer
from spindle_mcp.surface.http.answers import UNWATCHED, Answer, accept
from spindle_mcp.surface.http.posts import (
    CALL,
    PlainCall,
    PlainList,
    read_body,
    read_head,
    read_reply,
    read_request,
    replaying,
)
from spindle_mcp.surface.sessions import owner_of
from spindle_mcp.surface.walks.request import GovernedRequest
from spindle_mcp.text import encode
from spindle_spi.invocation import InputRequired
from spindle_transport.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.shared.exceptions import MCPError

    from spindle_mcp.surface.exchange import Asked
    from spindle_mcp.surface.server import Surface
    from spindle_mcp.surface.sessions import Session, Sessions
    from spindle_mcp.surface.shelf.views import View
    from spindle_mcp.surface.walks.calls import ToolCalls
    from spindle_mcp.surface.walks.fetches import Fetches
    from spindle_spi.ingress import Call
    from spindle_spi.types import Json, JsonObject, Message, Receive, Scope, Send

    Walk = Callable[[View, Call, GovernedRequest], Awaitable[JsonObject | InputRequired]]

_CANCELLED: Final = -32800
"""What the SDK answers to a cancelled request before 2026."""
_SIMPLE: Final = frozenset({"content", "structuredContent", "isError"})
_TEXT: Final = frozenset({"type", "text"})
_READING: Final = frozenset({"contents", "ttlMs"})
_PAGE: Final = frozenset({"uri", "mimeType", "text"})
_PROMPT: Final = frozenset({"messages", "description"})
_MESSAGE: Final = frozenset({"role", "content"})
_ROLES: Final = frozenset({"user", "assistant"})


class FastPath:
    """Carries out plain calls; hands everything else back."""

    def __init__(
        self,
        calls: ToolCalls,
        fetches: Fetches,
        sessions: Sessions,
        surface: Surface,
        server_info: JsonObject,
        *,
        with_sessions: bool = True,
    ) -> None:
        self._walks: dict[str, Walk] = {
            CALL: calls.call,
            READ: fetches.read,
            GET: fetches.render,
        }
        self._sessions = sessions
        self._stamp: JsonObject = {SERVER_INFO_META_KEY: server_info}
        self._surface = surface
        self._with_sessions = with_sessions
        self._patience = Patience(UNWATCHED)

    async def serve(
        self, scope: Scope, receive: Receive, send: Send, asked: Asked
    ) -> Receive | None:
        """Answer a plain request, or return the `receive` with which the SDK shall do it."""
        head = read_head(scope)

        if head is None:
            return receive

        session_id, session = head.session_id, None

        if session_id is not None and not self._with_sessions:
            return receive

        if session_id is not None:
            session = self._sessions.owned(session_id.decode("latin-1"), owner_of(asked))

            if session is None:
                return receive

        body = await read_body(receive)

        if body is None:
            return replaying(None, receive)

        if session is not None and session.questions and await self._settle(session, body, send):
            return None

        if session is not None and self._sessions.is_due(session):
            return replaying(body, receive)

        request = read_request(head, body)

        if isinstance(request, PlainCall) and request.method == CALL:
            tool = asked.view.tools.get(request.name)
            request = None if tool is None or tool.is_mirrored else request

        if request is None:
            return replaying(body, receive)

        answer = Answer(send, receive, self._patience, session_id=session_id)
        await self._answer(asked, request, answer, session, receive)
        return None

    async def _settle(self, session: Session, body: bytes, send: Send) -> bool:
        """Take a client's answer to what it was asked here; False when the body is none."""
        reply = read_reply(body)

        if reply is None or not session.settle(reply):
            return False

        await accept(send, session.id.encode("latin-1"))
        return True

    async def _answer(
        self,
        asked: Asked,
        request: PlainCall | PlainList,
        answer: Answer,
        session: Session | None,
        receive: Receive,
    ) -> None:
        try:
            if isinstance(request, PlainList):
                version = MODERN if session is None else session.version
                await answer.finish(self._list(asked, request, version), 200)
            elif session is None:
                await self._serve_modern(asked, request, answer, receive)
            else:
                await self._serve_session(asked, request, answer, session)
        finally:
            answer.close()

    def _list(self, asked: Asked, request: PlainList, version: str) -> bytes:
        key = (request.offer.method, version)
        listing = asked.view.encoded.get(key)

        if listing is None:
            shown = self._surface.listing(asked.view, version, request.offer)
            shown = self._stamped(version, shown)
            listing = asked.view.encoded[key] = encode(shown)

        return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (encode(request.id), listing)

    async def _serve_modern(
        self, asked: Asked, call: PlainCall, answer: Answer, receive: Receive
    ) -> None:
        with anyio.CancelScope() as scope:
            watch = _DepartureWatch(scope, receive, self._patience)

            try:
                status, body = await self._carry_out(asked, call, answer, None)
            finally:
                watch.stop()

            await answer.finish(body, status)

    async def _serve_session(
        self, asked: Asked, call: PlainCall, answer: Answer, session: Session
    ) -> None:
        key = coerce_request_id(call.id)

        cancelled: Json = {"code": _CANCELLED, "message": "Request cancelled"}
        body = encode({"jsonrpc": "2.0", "id": call.id, "error": cancelled})

        with anyio.CancelScope() as scope:
            session.calls[key] = scope

            try:
                _, body = await self._carry_out(asked, call, answer, session)
            finally:
                if session.calls.get(key) is scope:
                    del session.calls[key]

        await answer.finish(body, 200)

    async def _carry_out(
        self, asked: Asked, call: PlainCall, answer: Answer, session: Session | None
    ) -> tuple[int, bytes]:
        version = MODERN if session is None else session.version

        try:
            walk = self._walks[call.method]
            result = await walk(
                asked.view,
                asked.call,
                GovernedRequest(
                    name=call.name,
                    arguments=call.arguments,
                    meta=call.envelope.meta,
                    peer=AnswerPeer(asked, call, answer, session),
                    wants_progress=call.token is not None,
                    traceparent=call.traceparent,
                ),
            )
            shown = self._written(call.method, version, result)
            return 200, encode({"jsonrpc": "2.0", "id": call.id, "result": shown})
        except Exception as exc:  # noqa: BLE001 - the request boundary
            error = self._surface.report(exc, call.method, asked.call.request_id, version)
            status = ERROR_CODE_HTTP_STATUS.get(error.code, 200)
            return status, _failed(call.id, error)

    def _written(self, method: str, version: str, result: JsonObject | InputRequired) -> JsonObject:
        is_call = method == CALL
        wire = for_wire(version, result) if is_call else on_wire(method, version, result)
        is_simple = not isinstance(result, InputRequired) and _IS_SIMPLE[method](result)
        shown = wire if is_simple else written(version, wire, method)
        return self._stamped(version, shown)

    def _stamped(self, version: str, result: JsonObject) -> JsonObject:
        if version != MODERN:
            return result

        meta = result.get("_meta")
        return {
            **result,
            "_meta": {**meta, **self._stamp} if isinstance(meta, dict) else self._stamp,
        }


class _DepartureWatch:
    """In the current protocol to leave is to cancel."""

    __slots__ = ("_departure", "_receive", "_scope", "is_over")

    def __init__(self, scope: anyio.CancelScope, receive: Receive, patience: Patience) -> None:
        self._scope = scope
        self._receive = receive
        self._departure: asyncio.Future[Message] | None = None
        self.is_over = False
        """The call has ended by itself."""
        patience.add(self)

    def late(self) -> None:
        """Begin to listen to the client: its answer takes a while."""
        self._departure = asyncio.ensure_future(self._receive())
        self._departure.add_done_callback(self._leave)

    def stop(self) -> None:
        """Stop listening."""
        self.is_over = True

        if self._departure is not None:
            self._departure.cancel()

    def _leave(self, departure: asyncio.Future[Message]) -> None:
        # The exception, if there is one, was already met where the body was read.
        if not departure.cancelled() and departure.exception() is None:
            self._scope.cancel()


def _is_simple_call(result: JsonObject) -> bool:
    content = result["content"]

    if not result.keys() <= _SIMPLE or not isinstance(content, list):
        return False

    return isinstance(result.get("isError", False), bool) and all(map(_is_text, content))


def _is_text(part: Json) -> bool:
    return (
        isinstance(part, dict)
        and part.keys() == _TEXT
        and part["type"] == "text"
        and isinstance(part["text"], str)
    )


def _is_simple_reading(result: JsonObject) -> bool:
    contents = result["contents"]
    return result.keys() <= _READING and isinstance(contents, list) and all(map(_is_page, contents))


def _is_page(part: Json) -> bool:
    return (
        isinstance(part, dict)
        and _PAGE - {"mimeType"} <= part.keys() <= _PAGE
        and all(isinstance(value, str) for value in part.values())
    )


def _is_simple_prompt(result: JsonObject) -> bool:
    messages = result["messages"]
    is_known = result.keys() <= _PROMPT and isinstance(result.get("description", ""), str)
    return is_known and isinstance(messages, list) and all(map(_is_saying, messages))


def _is_saying(message: Json) -> bool:
    return (
        isinstance(message, dict)
        and message.keys() == _MESSAGE
        and message["role"] in _ROLES
        and _is_text(message["content"])
    )


_IS_SIMPLE: Final = {
    CALL: _is_simple_call,
    READ: _is_simple_reading,
    GET: _is_simple_prompt,
}
"""Whether the SDK would write a result of a method exactly as it is."""


def _failed(identity: str | int, error: MCPError) -> bytes:
    body: JsonObject = {"code": error.code, "message": error.message}

    if error.data is not None:
        body["data"] = error.data

    return encode({"jsonrpc": "2.0", "id": identity, "error": body})
