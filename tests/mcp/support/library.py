"""An upstream with things to read: the SDK's own server, in either era of the protocol."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError

from tests.mcp.support.serving import listening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.server import ServerRequestContext
    from mcp.server.session import ServerSession

    from spindle_spi.types import ASGIApp, Receive, Scope, Send

README = "file:///README.md"
PICTURE = "test://picture"
APP = "ui://clock/main.html"
NOTES = "note://{shelf}/{name}"
LINKS: list[types.ContentBlock] = [
    types.ResourceLink(name="r", uri=README),
    types.ResourceLink(name="w", uri="https://example.com/page"),
    types.EmbeddedResource(resource=types.TextResourceContents(uri=README, text="inside")),
]


def _resources() -> dict[str, types.Resource]:
    return {
        README: types.Resource(
            name="readme",
            title="Read me",
            uri=README,
            description="What it is.",
            mime_type="text/markdown",
            annotations=types.Annotations(priority=0.5),
            icons=[types.Icon(src="https://example.com/i.png")],
            _meta={"shelf": "front"},
        ),
        PICTURE: types.Resource(name="picture", uri=PICTURE, mime_type="image/png"),
        APP: types.Resource(name="clock", uri=APP, mime_type="text/html;profile=mcp-app"),
    }


@dataclass
class Library:
    """With `is_legacy_only` it refuses what is newer than 2025."""

    is_legacy_only: bool = False
    resources: dict[str, types.Resource] = field(default_factory=_resources)
    templates: list[types.ResourceTemplate] = field(
        default_factory=lambda: [types.ResourceTemplate(name="notes", uri_template=NOTES)]
    )
    prompts: list[str] = field(default_factory=lambda: ["summary", "broken"])
    tools: list[str] = field(default_factory=lambda: ["links"])
    """Beside the clock, which has an interface."""
    asked: list[tuple[str, dict[str, Any]]] = field(
        default_factory=list[tuple[str, dict[str, Any]]]
    )
    """Methods and parameters, but for those of lists."""
    followed: set[str] = field(default_factory=set[str])
    """Resources that somebody follows."""
    followers: int = 0
    tells_of_no_pictures: bool = False
    """Refuses to be followed on one resource; as an older upstream only."""
    news: anyio.Event = field(default_factory=anyio.Event)
    """Set anew when somebody begins or ends to follow."""
    reached: anyio.Event = field(default_factory=anyio.Event)
    """Set when a reading hangs."""
    cancelled: anyio.Event = field(default_factory=anyio.Event)
    extensions: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Those that who read the list of tools declared."""
    traces: list[object] = field(default_factory=list[object])

    @asynccontextmanager
    async def running(self, *, port: int = 0) -> AsyncGenerator[str]:
        async with self.app() as app, listening(app, port=port) as url:
            yield f"{url}/mcp"
            self._listen.close()

    @asynccontextmanager
    async def app(self) -> AsyncGenerator[ASGIApp]:
        """Serve on whatever path it is asked."""
        self._bus = InMemorySubscriptionBus()
        self._sessions: dict[str, ServerSession] = {}
        self._listen = ListenHandler(self._bus)
        server: Server[Any] = Server(
            "library",
            version="1",
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read,
            on_subscribe_resource=self._subscribe,
            on_unsubscribe_resource=self._unsubscribe,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get,
            on_completion=self._complete,
            on_subscriptions_listen=self._follow,
        )
        manager = StreamableHTTPSessionManager(server)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            headers = dict(scope["headers"])

            if self.is_legacy_only and headers.get(b"mcp-protocol-version") == b"2026-07-28":
                await send({"type": "http.response.start", "status": 400, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return

            await manager.handle_request(scope, receive, send)

        async with manager.run():
            yield app

    async def update(self, uri: str) -> None:
        """Say that a resource was updated."""
        await self._bus.publish(ResourceUpdated(uri=uri))

        for session in self._sessions.values():
            await session.send_resource_updated(uri)

    async def change(self, *kinds: str) -> None:
        """Say that lists changed: `tools`, `resources`, `prompts`."""
        if "tools" in kinds:
            await self._bus.publish(ToolsListChanged())

            for session in self._sessions.values():
                await session.send_tool_list_changed()

        if "resources" in kinds:
            await self._bus.publish(ResourcesListChanged())

            for session in self._sessions.values():
                await session.send_resource_list_changed()

        if "prompts" in kinds:
            await self._bus.publish(PromptsListChanged())

            for session in self._sessions.values():
                await session.send_prompt_list_changed()

    async def until_followed(self, *uris: str) -> None:
        """Wait until exactly these are followed."""
        with anyio.fail_after(10):
            while self.followed != set(uris):
                await self.news.wait()
                self.news = anyio.Event()

    async def _list_tools(
        self, ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        capabilities = ctx.session.client_capabilities
        self.extensions = {} if capabilities is None else capabilities.extensions or {}
        schema = {"type": "object"}
        meta = {"ui": {"resourceUri": APP, "visibility": ["model"]}}
        return types.ListToolsResult(
            tools=[
                types.Tool(name="clock", input_schema=schema, _meta=meta),
                *(types.Tool(name=name, input_schema=schema) for name in self.tools),
            ]
        )

    async def _call_tool(
        self, ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        return types.CallToolResult(content=LINKS)

    async def _list_resources(
        self, ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        self._know(ctx)
        return types.ListResourcesResult(resources=list(self.resources.values()))

    async def _list_templates(
        self, ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=self.templates)

    async def _list_prompts(
        self, ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        arguments = [types.PromptArgument(name="topic", required=True)]
        return types.ListPromptsResult(
            prompts=[types.Prompt(name=name, arguments=arguments) for name in self.prompts]
        )

    async def _read(
        self, ctx: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        self._note(ctx, params)
        uri = params.uri

        if uri == PICTURE:
            blob = types.BlobResourceContents(uri=uri, mime_type="image/png", blob="aGk=")
            return types.ReadResourceResult(contents=[blob], ttl_ms=7000, cache_scope="public")

        if uri.endswith("/hang"):
            self.reached.set()

            try:
                await anyio.sleep_forever()
            finally:
                self.cancelled.set()

        if uri.endswith("/missing"):
            code = -32002 if self.is_legacy_only else -32602
            raise MCPError(code, "secret-of-the-upstream", {"uri": uri})

        text = types.TextResourceContents(uri=uri, mime_type="text/plain", text=f"text of {uri}")
        return types.ReadResourceResult(contents=[text])

    async def _get(
        self, ctx: ServerRequestContext[Any], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        self._note(ctx, params)

        if params.name == "broken":
            raise MCPError(-32603, "secret-of-the-upstream")

        topic = (params.arguments or {}).get("topic", "nothing")
        text = types.TextContent(text=f"Sum up {topic}.")
        return types.GetPromptResult(
            description="Sums up.",
            messages=[
                types.PromptMessage(role="user", content=text),
                types.PromptMessage(role="assistant", content=LINKS[2]),
            ],
        )

    async def _complete(
        self, ctx: ServerRequestContext[Any], params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        self._note(ctx, params)
        values = [f"{params.argument.value}{number}" for number in range(3)]
        return types.CompleteResult(completion=types.Completion(values=values, total=9))

    async def _subscribe(
        self, ctx: ServerRequestContext[Any], params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        self._know(ctx)

        if params.uri == PICTURE and self.tells_of_no_pictures:
            raise MCPError(-32602, "secret-of-the-upstream")

        self.followed.add(params.uri)
        self.news.set()
        return types.EmptyResult()

    async def _unsubscribe(
        self, ctx: ServerRequestContext[Any], params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        self.followed.discard(params.uri)
        self.news.set()
        return types.EmptyResult()

    async def _follow(
        self, ctx: ServerRequestContext[Any], params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        self.followed = set(params.notifications.resource_subscriptions or ())
        self.followers += 1
        self.news.set()
        return await self._listen(ctx, params)

    def _know(self, ctx: ServerRequestContext[Any]) -> None:
        """Remember a session: each request has an object of its own for it."""
        session_id = None if ctx.request is None else ctx.request.headers.get("mcp-session-id")

        if session_id is not None:
            self._sessions[session_id] = ctx.session

    def _note(self, ctx: ServerRequestContext[Any], params: Any) -> None:
        self.traces.append((ctx.meta or {}).get("traceparent"))
        dumped = params.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"meta"})
        self.asked.append((ctx.method, dumped))
