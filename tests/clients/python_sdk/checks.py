"""The Python SDK, version 2, over HTTP in its three modes and over the bridge."""

# pyright: basic

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

import tests.clients.python_sdk.configurations  # noqa: F401 - registers its checks
from tests.clients.harness import (
    BRIDGE,
    LEGACY,
    MODERN,
    NAME,
    ROOT,
    SAMPLE,
    Hear,
    News,
    Outcome,
    Refused,
    Session,
    Way,
    content_of,
    gateway,
    register,
    run,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator


async def fill_in(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": NAME})


async def sample(
    context: Any, params: types.CreateMessageRequestParams
) -> types.CreateMessageResult:
    text = types.TextContent(text=SAMPLE)
    return types.CreateMessageResult(role="assistant", content=text, model="mine")


async def roots(context: Any) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root.model_validate({"uri": ROOT})])


def opened(transport: Any, mode: str, news: News) -> Client:
    """Return a client that answers when it is asked, and notes what it hears of."""

    async def hear(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            news.hear(str(message.params.uri))
        elif not isinstance(message, Exception) and message.method.endswith("/list_changed"):
            news.hear(message.method.split("/")[1])

    return Client(
        transport,
        mode=mode,
        elicitation_callback=fill_in,
        sampling_callback=sample,
        list_roots_callback=roots,
        message_handler=hear,
    )


@contextmanager
def refusing() -> Generator[None]:
    try:
        yield
    except MCPError as exc:
        raise Refused(exc.error.code, exc.error.message) from exc


class SdkSession:
    """A connected client of the SDK."""

    def __init__(self, client: Client, news: News) -> None:
        self._client = client
        self.news = news

    @property
    def version(self) -> str:
        return self._client.protocol_version

    @property
    def server(self) -> str:
        info = self._client.server_info
        return "" if info is None else info.name

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, name: str, arguments: dict[str, Any], hear: Hear | None = None) -> Outcome:
        with refusing():
            result: Any = await self._client.call_tool(name, arguments, progress_callback=hear)

        return Outcome(
            text="".join(part.text for part in result.content),
            structured=result.structured_content,
            is_error=result.is_error,
        )

    async def resources(self) -> list[str]:
        return [each.uri for each in (await self._client.list_resources()).resources]

    async def templates(self) -> list[str]:
        listed = await self._client.list_resource_templates()
        return [each.uri_template for each in listed.resource_templates]

    async def read(self, uri: str) -> list[tuple[str, str]]:
        with refusing():
            result: Any = await self._client.read_resource(uri)

        return [(each.uri, content_of(each)) for each in result.contents]

    async def prompts(self) -> list[str]:
        return [each.name for each in (await self._client.list_prompts()).prompts]

    async def prompt(self, name: str, arguments: dict[str, str]) -> list[str]:
        result: Any = await self._client.get_prompt(name, arguments)
        return [content_of(each.content) for each in result.messages]

    async def complete(self, prompt: str, argument: str, begun: str) -> list[str]:
        reference = types.PromptReference(name=prompt)
        result = await self._client.complete(reference, {"name": argument, "value": begun})
        return result.completion.values

    @asynccontextmanager
    async def following(self, uri: str) -> AsyncGenerator[None]:
        if self.version == MODERN:
            async with self._client.listen(
                tools_list_changed=True,
                prompts_list_changed=True,
                resources_list_changed=True,
                resource_subscriptions=[uri],
            ):
                yield
        else:
            await self._client.subscribe_resource(uri)
            yield
            await self._client.unsubscribe_resource(uri)


def over_http(mode: str) -> Callable[[str, str | None], AbstractAsyncContextManager[Session]]:
    @asynccontextmanager
    async def connect(token: str, server: str | None) -> AsyncGenerator[Session]:
        headers, news = {"authorization": f"Bearer {token}"}, News()

        async with (
            httpx2.AsyncClient(headers=headers, timeout=30, trust_env=False) as http,
            opened(
                streamable_http_client(gateway.endpoint(server), http_client=http), mode, news
            ) as client,
        ):
            yield SdkSession(client, news)

    return connect


def over_bridge(mode: str) -> Callable[[str, str | None], AbstractAsyncContextManager[Session]]:
    @asynccontextmanager
    async def connect(token: str, server: str | None) -> AsyncGenerator[Session]:
        part = [] if server is None else ["--server", server]
        parameters = StdioServerParameters(
            command=BRIDGE[0],
            args=[*BRIDGE[1:], "--url", gateway.url, *part],
            env={"SPINDLE_TOKEN": token},
        )

        news = News()

        async with opened(stdio_client(parameters), mode, news) as client:
            yield SdkSession(client, news)

    return connect


register(
    Way("auto", MODERN, over_http("auto")),
    Way("modern", MODERN, over_http(MODERN), server=""),
    Way("legacy", LEGACY, over_http("legacy")),
    # A slow start would make `auto` fall back; it asks first for all ways but this one.
    Way("bridge", MODERN, over_bridge(MODERN), server=""),
    Way("bridge_legacy", LEGACY, over_bridge("legacy")),
)

if __name__ == "__main__":
    run()
