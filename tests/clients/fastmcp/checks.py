"""FastMCP's client. Runs in an environment of its own."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import mcp_types as types
from fastmcp import Client
from mcp.client.subscriptions import listen
from mcp.shared.exceptions import MCPError

from tests.clients.harness import (
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
    check,
    content_of,
    gateway,
    register,
    run,
    run_documented,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator


async def fill_in(message: Any, kind: Any, params: Any, context: Any) -> Any:
    return {"name": NAME}


async def sample(messages: Any, params: Any, context: Any) -> str:
    return SAMPLE


def hearing(news: News) -> Any:
    async def hear(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            news.hear(str(message.params.uri))
        elif not isinstance(message, Exception) and message.method.endswith("/list_changed"):
            news.hear(message.method.split("/")[1])

    return hear


@contextmanager
def refusing() -> Generator[None]:
    try:
        yield
    except MCPError as exc:
        raise Refused(exc.error.code, exc.error.message) from exc


class FastMcpSession:
    """A connected client of FastMCP's."""

    def __init__(self, client: Any, news: News) -> None:
        self._client = client
        self.news = news

    @property
    def version(self) -> str:
        return str(self._client.protocol_version)

    @property
    def server(self) -> str:
        return str(self._client.server_info.name)

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self._client.list_tools()]

    async def call(self, name: str, arguments: dict[str, Any], hear: Hear | None = None) -> Outcome:
        with refusing():
            result = await self._client.call_tool(
                name, arguments, progress_handler=hear, raise_on_error=False
            )

        return Outcome(
            text="".join(part.text for part in result.content),
            structured=result.structured_content,
            is_error=result.is_error,
        )

    async def resources(self) -> list[str]:
        return [str(each.uri) for each in await self._client.list_resources()]

    async def templates(self) -> list[str]:
        return [each.uri_template for each in await self._client.list_resource_templates()]

    async def read(self, uri: str) -> list[tuple[str, str]]:
        with refusing():
            contents = await self._client.read_resource(uri)

        return [(str(each.uri), content_of(each)) for each in contents]

    async def prompts(self) -> list[str]:
        return [each.name for each in await self._client.list_prompts()]

    async def prompt(self, name: str, arguments: dict[str, str]) -> list[str]:
        result = await self._client.get_prompt(name, arguments)
        return [content_of(each.content) for each in result.messages]

    async def complete(self, prompt: str, argument: str, begun: str) -> list[str]:
        reference = types.PromptReference(name=prompt)
        found = await self._client.complete(reference, {"name": argument, "value": begun})
        return list(found.values)

    @asynccontextmanager
    async def following(self, uri: str) -> AsyncGenerator[None]:
        # It has no words of its own for this; its session is the SDK's.
        session = self._client.session

        if self.version == MODERN:
            async with listen(
                session,
                tools_list_changed=True,
                prompts_list_changed=True,
                resources_list_changed=True,
                resource_subscriptions=[uri],
            ):
                yield
        else:
            await session.subscribe_resource(uri)
            yield
            await session.unsubscribe_resource(uri)


def over_http(mode: str) -> Callable[[str, str | None], AbstractAsyncContextManager[Session]]:
    @asynccontextmanager
    async def connect(token: str, server: str | None) -> AsyncGenerator[Session]:
        news = News()

        async with Client(
            gateway.endpoint(server),
            auth=token,
            mode=mode,
            roots=[ROOT],
            sampling_handler=sample,
            elicitation_handler=fill_in,
            message_handler=hearing(news),
        ) as client:
            yield FastMcpSession(client, news)

    return connect


@check("documented.fastmcp.client")
def _documented() -> None:
    run_documented("fastmcp.client")


register(Way("auto", MODERN, over_http("auto")), Way("legacy", LEGACY, over_http("legacy")))

if __name__ == "__main__":
    run()
