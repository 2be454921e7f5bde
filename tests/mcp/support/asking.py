"""An upstream that asks its client, in the way of its era; the SDK's own server."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError

from spindle_spi.types import ASGIApp
from tests.mcp.support.serving import listening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.server import ServerRequestContext

    from spindle_spi.types import Receive, Scope, Send

TOOLS = (
    "echo",
    "fail",
    "steps",
    "hang",
    "elicit",
    "visit",
    "sample",
    "roots",
    "log",
    "twice",
    "meta",
    "link",
    "done",
)
FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
}
MODERN = "2026-07-28"


@dataclass
class Asking:
    """Speaks one era, or `both`; a tool's name says what it does."""

    era: str = "modern"
    calls: list[str] = field(default_factory=list[str])
    """Names of the tools whose work was begun, not those of later rounds."""
    heard: list[Any] = field(default_factory=list[Any])
    """What the client answered."""
    sessions: list[str] = field(default_factory=list[str])
    """The id of the session of each call; empty in the current protocol."""
    declared: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    metas: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    levels: list[str] = field(default_factory=list[str])
    ended: list[str] = field(default_factory=list[str])
    """Ids of sessions that were ended by their clients."""
    forgotten: set[str] = field(default_factory=set[str])
    """Ids of sessions that it says it does not know."""
    reached: anyio.Event = field(default_factory=anyio.Event)
    cancelled: anyio.Event = field(default_factory=anyio.Event)
    message: str = "Who are you?"
    patience: float = math.inf
    """Seconds it waits for an answer in the middle of a call."""
    tokens: list[str] = field(default_factory=list[str])
    """What proved who makes each call."""
    guarded: Callable[[ASGIApp], ASGIApp] = field(default=lambda app: app)
    """Puts something before it."""
    rooted: list[str] = field(default_factory=list[str])
    """Ids of sessions whose clients said that their roots changed."""
    may_speak: anyio.Event | None = None
    """What it waits for before it asks or logs anything."""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[str]:
        async with self.app() as app, listening(app) as url:
            yield f"{url}/mcp"

    @asynccontextmanager
    async def app(self) -> AsyncGenerator[ASGIApp]:
        """Serve on whatever path it is asked."""
        server: Server[Any] = Server(
            "asking", version="1", on_list_tools=self._list, on_call_tool=self._call
        )
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._level)
        server.add_notification_handler(
            "notifications/roots/list_changed", types.NotificationParams, self._roots_changed
        )
        manager = StreamableHTTPSessionManager(server)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}

            is_modern = headers.get("mcp-protocol-version") == MODERN

            if self.era != "both" and is_modern != (self.era == "modern"):
                await send({"type": "http.response.start", "status": 400, "headers": []})
                await send({"type": "http.response.body", "body": b"unknown version"})
                return

            session_id = headers.get("mcp-session-id", "")

            if session_id in self.forgotten:
                await send({"type": "http.response.start", "status": 404, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return

            if scope["method"] == "DELETE":
                self.ended.append(session_id)

            await manager.handle_request(scope, receive, send)

        async with manager.run():
            yield self.guarded(app)

    async def _list(
        self, ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[types.Tool(name=name, input_schema={"type": "object"}) for name in TOOLS]
        )

    async def _level(
        self, ctx: ServerRequestContext[Any], params: types.SetLevelRequestParams
    ) -> types.EmptyResult:
        self.levels.append(params.level)
        return types.EmptyResult()

    async def _call(
        self, ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> Any:
        self._note(ctx, params)

        if self.may_speak is not None and params.name != "hang":
            await self.may_speak.wait()

        match params.name:
            case "fail":
                return types.CallToolResult(content=[types.TextContent(text="no")], is_error=True)
            case "steps":
                for step in (1.0, 2.0):
                    await ctx.session.report_progress(step, 2.0, f"step {step}")
            case "hang":
                await self._hang()
            case "log":
                await self._log(ctx)
            case "link" if len(self.calls) == 1:
                raise self._link()
            case "done":
                done = types.ElicitCompleteNotificationParams(elicitation_id="e1")
                await ctx.session.send_notification(types.ElicitCompleteNotification(params=done))
            case "elicit" | "visit" | "sample" | "roots" | "twice":
                return await self._ask(ctx, params)
            case _:
                pass

        text = str((params.arguments or {}).get("text", params.name))
        return types.CallToolResult(content=[types.TextContent(text=text)])

    def _note(self, ctx: ServerRequestContext[Any], params: types.CallToolRequestParams) -> None:
        if not params.input_responses:
            self.calls.append(params.name)

        declared = ctx.session.client_capabilities
        self.declared.append(
            {} if declared is None else declared.model_dump(by_alias=True, exclude_none=True)
        )
        self.metas.append(dict(ctx.meta or {}))
        request = ctx.request
        headers: dict[str, str] = {} if request is None else dict(request.headers)
        self.sessions.append(headers.get("mcp-session-id", ""))
        self.tokens.append(headers.get("authorization", "").removeprefix("Bearer "))

    async def _hang(self) -> None:
        self.reached.set()

        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled.set()

    async def _roots_changed(
        self, ctx: ServerRequestContext[Any], params: types.NotificationParams
    ) -> None:
        self.rooted.append("" if ctx.request is None else ctx.request.headers["mcp-session-id"])

    def _link(self) -> MCPError:
        link = {
            "mode": "url",
            "elicitationId": "e1",
            "url": "https://example.com/login",
            "message": self.message,
        }
        return MCPError(-32042, "visit first", {"elicitations": [link]})

    async def _log(self, ctx: ServerRequestContext[Any]) -> None:
        for level in ("debug", "error"):
            await ctx.session.send_notification(
                types.LoggingMessageNotification(
                    params=types.LoggingMessageNotificationParams(
                        level=level, data={"said": level}, logger="up"
                    )
                ),
                related_request_id=ctx.request_id,
            )

    async def _ask(
        self, ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        questions = self._questions(params.name)

        if ctx.protocol_version != MODERN:
            answers: list[Any] = []

            with anyio.move_on_after(self.patience) as waiting:
                answers = [await self._ask_now(ctx, question) for question in questions]

            if waiting.cancelled_caught:
                return types.CallToolResult(content=[types.TextContent(text="nobody answered")])
        else:
            given = params.input_responses or {}
            asked = int(params.request_state or "0")

            if asked:
                answer: Any = given.get(f"q{asked}")
                self.heard.append(answer.model_dump(by_alias=True, exclude_none=True))

            if asked < len(questions):
                return types.InputRequiredResult(
                    input_requests={f"q{asked + 1}": questions[asked]},
                    request_state=str(asked + 1),
                )

            answers = self.heard[-len(questions) :]

        return types.CallToolResult(content=[types.TextContent(text=f"heard {answers}")])

    async def _ask_now(self, ctx: ServerRequestContext[Any], question: Any) -> Any:
        from mcp.shared.message import ServerMessageMetadata

        kinds: dict[str, Any] = {
            "elicitation/create": types.ElicitResult,
            "sampling/createMessage": types.CreateMessageResult,
            "roots/list": types.ListRootsResult,
        }

        try:
            answer = await ctx.session.send_request(
                question,
                kinds[question.method],
                metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
            )
        except MCPError as exc:
            self.heard.append({"error": exc.error.code, "message": exc.error.message})
            return self.heard[-1]
        except anyio.get_cancelled_exc_class():
            self.cancelled.set()
            raise

        self.heard.append(answer.model_dump(by_alias=True, exclude_none=True))
        return self.heard[-1]

    def _questions(self, name: str) -> list[Any]:
        elicit = types.ElicitRequest(
            params=types.ElicitRequestFormParams(message=self.message, requested_schema=FORM)
        )
        visit = types.ElicitRequest(
            params=types.ElicitRequestURLParams(
                message=self.message, url="https://example.com/login", elicitation_id="e1"
            )
        )
        sample = types.CreateMessageRequest(
            params=types.CreateMessageRequestParams(
                messages=[
                    types.SamplingMessage(role="user", content=types.TextContent(text=self.message))
                ],
                max_tokens=10,
            )
        )
        named: dict[str, list[Any]] = {
            "elicit": [elicit],
            "visit": [visit],
            "sample": [sample],
            "roots": [types.ListRootsRequest()],
            "twice": [elicit, elicit],
        }
        return named[name]
