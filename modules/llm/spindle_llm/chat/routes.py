"""The routes of session chats: connect, chat, disconnect, status.

A `user_id` that is not the caller's own is refused before anything is looked up. A client that
leaves during a turn ends the turn.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import anyio

from spindle_llm.chat import sessions
from spindle_llm.chat.servers import choose_server, open_tools
from spindle_llm.chat.settings import ChatSettings
from spindle_llm.chat.turn import Turn, TurnAnswer
from spindle_llm.chat.wire import (
    ChatRequest,
    ConnectRequest,
    DisconnectRequest,
    LlmChoice,
    parse,
)
from spindle_llm.routing.names import model_names
from spindle_llm.surfaces.judging import ClientGone, read_body
from spindle_spi.errors import (
    FailedPrecondition,
    GatewayError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unavailable,
    Unsupported,
)
from spindle_spi.ingress import Call, Handler, IngressRoute
from spindle_spi.policy import Action
from spindle_spi.records import Kind, ModelSpec, Target
from spindle_spi.types import Json, JsonObject, Receive, Scope, Send

if TYPE_CHECKING:
    from spindle_llm.runtime import Runtime, State
    from spindle_spi.context import AuthenticatedContext

T = TypeVar("T")

Operation = Callable[["_Request"], Awaitable[JsonObject]]


class _Request:
    """What an operation works with."""

    def __init__(self, runtime: Runtime, call: Call, scope: Scope, body: bytes) -> None:
        self.runtime = runtime
        self.services = runtime.services
        self.settings = ChatSettings.of(runtime.settings.chat)
        self.call = call
        self.context = call.context
        self.body = body
        self.user_id = str(scope["path_params"].get("user_id", ""))


def chat_routes(state: State) -> tuple[IngressRoute, ...]:
    """Return the routes of session chats."""
    return (
        _route(state, "POST", "/llmchat/connect", "llm.invoke", _connect),
        _route(state, "POST", "/llmchat/chat", "llm.invoke", _chat),
        _route(state, "POST", "/llmchat/disconnect", "llm.invoke", _disconnect),
        _route(state, "GET", "/llmchat/status/{user_id}", "llm.read", _status),
    )


def _route(
    state: State, method: str, path: str, permission: str, operation: Operation
) -> IngressRoute:
    return IngressRoute(
        method=method, path=path, permission=permission, handler=_handler(state, operation)
    )


def _handler(state: State, operation: Operation) -> Handler:
    async def handle(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        try:
            body = await read_body(receive)
            request = _Request(state.runtime, call, scope, body)
            answer = await _while_connected(receive, lambda: operation(request))
        except ClientGone:
            return

        await _send_json(send, answer)

    return handle


async def _while_connected(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    """Work until done or until the client leaves, whichever comes first.

    Raises:
        ClientGone: The client left; the work was cancelled.
    """
    done: list[T] = []
    failure: GatewayError | None = None

    async with anyio.create_task_group() as group:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

            group.cancel_scope.cancel()

        group.start_soon(watch)

        # An error that leaves a task group comes out wrapped, so it is carried by hand.
        try:
            done.append(await work())
        except GatewayError as exc:
            failure = exc

        group.cancel_scope.cancel()

    if failure is not None:
        raise failure

    if not done:
        raise ClientGone

    return done[0]


async def _connect(request: _Request) -> JsonObject:
    wanted = parse(ConnectRequest, request.body)
    _check_own(request.context, wanted.user_id)
    _refuse_streaming(wanted.streaming)
    services, settings = request.services, request.settings
    model = wanted.llm.model or request.runtime.settings.default_model

    if model is None:
        raise InvalidArgument("llm.model names no model.", param="llm.model")

    model, provider = await _chosen(request, model)
    server = await choose_server(services, request.context, wanted.server)
    tools = await open_tools(services, request.context, server, timeout=settings.connect_timeout)
    data: JsonObject = {
        "model": model,
        "server": server,
        "options": _options(wanted.llm),
    }
    await sessions.create(services, request.context, wanted.user_id, settings, data)
    names: list[Json] = list(tools.records)
    return {
        "status": "connected",
        "user_id": wanted.user_id,
        "provider": provider,
        "tool_count": len(names),
        "tools": names,
    }


async def _chat(request: _Request) -> JsonObject:
    started = time.perf_counter()
    wanted = parse(ChatRequest, request.body)
    _check_own(request.context, wanted.user_id)
    _refuse_streaming(wanted.streaming)

    if not wanted.message.strip():
        raise InvalidArgument("The message is empty.", code="llm.chat.empty", param="message")

    answer = await _take_turn(request, wanted)
    names: list[Json] = list(dict.fromkeys(answer.called))
    return {
        "user_id": wanted.user_id,
        "response": answer.text,
        "tool_used": bool(answer.called),
        "tools": names,
        "tool_invocations": len(answer.called),
        "elapsed_ms": round((time.perf_counter() - started) * 1000),
    }


async def _take_turn(request: _Request, wanted: ChatRequest) -> TurnAnswer:
    services, settings, context = request.services, request.settings, request.context
    session = await sessions.find(services, context, wanted.user_id)

    if session is None:
        raise FailedPrecondition(
            "There is no chat session; connect first.", code="llm.chat.no_session"
        )

    history = await sessions.read_history(services, context, session, settings)

    try:
        tools = await open_tools(
            services, context, session.server, timeout=settings.connect_timeout
        )
    except NotFound as exc:
        raise Unavailable(
            "The server of this chat is not available any more; connect again.",
            code="llm.chat.session_unusable",
            retryable=False,
        ) from exc

    deadline = time.monotonic() + settings.turn_timeout
    turn = Turn(
        runtime=request.runtime,
        settings=settings,
        context=context,
        session=session,
        toolbox=tools,
        log=sessions.TurnLog(services.session_event, context, session, history.last_sequence),
        messages=list(history.messages),
        depth=request.call.depth,
        deadline=min(deadline, request.call.deadline or deadline),
    )
    return await turn.run(wanted.message)


async def _disconnect(request: _Request) -> JsonObject:
    wanted = parse(DisconnectRequest, request.body)
    _check_own(request.context, wanted.user_id)
    session = await sessions.find(request.services, request.context, wanted.user_id)
    ended = session is not None and await request.services.session_event.delete_session(
        request.context, session.stored.id
    )
    return {
        "status": "disconnected" if ended else "no_active_session",
        "user_id": wanted.user_id,
        "message": "The session has ended." if ended else "There was no session.",
    }


async def _status(request: _Request) -> JsonObject:
    _check_own(request.context, request.user_id)
    session = await sessions.find(request.services, request.context, request.user_id)
    return {"user_id": request.user_id, "connected": session is not None}


def _check_own(context: AuthenticatedContext, user_id: str) -> None:
    """Refuse a user who is not the caller: their e-mail, or their token's id."""
    subject = context.subject

    if user_id not in (subject.user_email, subject.token_id):
        raise PermissionDenied(
            "user_id must be your own e-mail address or your token's id.",
            code="llm.chat.not_own_user",
            param="user_id",
        )


def _refuse_streaming(streaming: bool) -> None:
    if streaming:
        raise Unsupported(
            "Streaming chats are not served yet; send streaming: false.",
            code="llm.chat.streaming_unsupported",
            param="streaming",
        )


async def _chosen(request: _Request, name: str) -> tuple[str, str | None]:
    """Return the model a word stands for, and its provider.

    Raises:
        NotFound: Absent or hidden, whatever it may stand for.
        PermissionDenied: Visible, not permitted.
    """
    *others, last = model_names(name, request.runtime.settings)

    for other in others:
        with suppress(NotFound):
            return other, await _provider_of(request, other)

    return last, await _provider_of(request, last)


async def _provider_of(request: _Request, model: str) -> str | None:
    """Check that the caller may ask the model; return its provider if they may read that.

    Raises:
        NotFound: The model is absent or hidden.
        PermissionDenied: Visible, not permitted.
    """
    target = Target(kind=Kind.MODEL, name=model)
    services, context = request.services, request.context
    decision = await services.auth.check_catalog_access(context, target, Action.EXECUTE)

    if not decision.allowed:
        raise PermissionDenied(f"This token may not ask the model {model!r}.")

    try:
        record = await services.catalog.fetch(context, target)
    except PermissionDenied:
        return None

    return record.spec.provider if isinstance(record.spec, ModelSpec) else None


def _options(choice: LlmChoice) -> JsonObject:
    """Return what every request of the session says beside its messages."""
    options: JsonObject = {}

    if choice.temperature is not None:
        options["temperature"] = choice.temperature

    if choice.max_tokens is not None:
        options["max_tokens"] = choice.max_tokens

    return options


async def _send_json(send: Send, value: JsonObject) -> None:
    body = json.dumps(value).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
