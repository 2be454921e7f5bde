"""The Python SDK of last year, which speaks 2025-06-18 at most; in an environment of its own."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: disable-error-code="import-not-found, attr-defined, no-untyped-call"

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import mcp.types as types
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamablehttp_client
from pydantic import AnyUrl

from tests.clients.harness import (
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
    from collections.abc import AsyncGenerator, Generator


async def fill_in(context: Any, params: Any) -> Any:
    return types.ElicitResult(action="accept", content={"name": NAME})


async def sample(context: Any, params: Any) -> Any:
    text = types.TextContent(type="text", text=SAMPLE)
    return types.CreateMessageResult(role="assistant", content=text, model="mine")


async def roots(context: Any) -> Any:
    return types.ListRootsResult(roots=[types.Root.model_validate({"uri": ROOT})])


def hearing(news: News) -> Any:
    async def hear(message: Any) -> None:
        method = getattr(getattr(message, "root", None), "method", "")

        if method == "notifications/resources/updated":
            news.hear(str(message.root.params.uri))
        elif method.endswith("/list_changed"):
            news.hear(method.split("/")[1])

    return hear


@contextmanager
def refusing() -> Generator[None]:
    try:
        yield
    except McpError as exc:
        raise Refused(exc.error.code, exc.error.message) from exc


class SdkSession:
    """An initialized session of the SDK."""

    def __init__(self, session: Any, initialized: Any, news: News) -> None:
        self._session = session
        self._initialized = initialized
        self.news = news

    @property
    def version(self) -> str:
        return str(self._initialized.protocolVersion)

    @property
    def server(self) -> str:
        return str(self._initialized.serverInfo.name)

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self._session.list_tools()).tools]

    async def call(self, name: str, arguments: dict[str, Any], hear: Hear | None = None) -> Outcome:
        with refusing():
            result = await self._session.call_tool(name, arguments, progress_callback=hear)

        return Outcome(
            text="".join(part.text for part in result.content),
            structured=result.structuredContent,
            is_error=result.isError,
        )

    async def resources(self) -> list[str]:
        return [str(each.uri) for each in (await self._session.list_resources()).resources]

    async def templates(self) -> list[str]:
        listed = await self._session.list_resource_templates()
        return [each.uriTemplate for each in listed.resourceTemplates]

    async def read(self, uri: str) -> list[tuple[str, str]]:
        with refusing():
            result = await self._session.read_resource(AnyUrl(uri))

        return [(str(each.uri), content_of(each)) for each in result.contents]

    async def prompts(self) -> list[str]:
        return [each.name for each in (await self._session.list_prompts()).prompts]

    async def prompt(self, name: str, arguments: dict[str, str]) -> list[str]:
        result = await self._session.get_prompt(name, arguments)
        return [content_of(each.content) for each in result.messages]

    async def complete(self, prompt: str, argument: str, begun: str) -> list[str]:
        reference = types.PromptReference(type="ref/prompt", name=prompt)
        result = await self._session.complete(reference, {"name": argument, "value": begun})
        return list(result.completion.values)

    @asynccontextmanager
    async def following(self, uri: str) -> AsyncGenerator[None]:
        await self._session.subscribe_resource(AnyUrl(uri))
        yield
        await self._session.unsubscribe_resource(AnyUrl(uri))


@asynccontextmanager
async def over_http(token: str, server: str | None) -> AsyncGenerator[Session]:
    headers, news = {"authorization": f"Bearer {token}"}, News()

    async with (
        streamablehttp_client(gateway.endpoint(server), headers=headers) as (read, write, _),
        ClientSession(
            read,
            write,
            elicitation_callback=fill_in,
            sampling_callback=sample,
            list_roots_callback=roots,
            message_handler=hearing(news),
        ) as session,
    ):
        yield SdkSession(session, await session.initialize(), news)


@check("documented.python-sdk.v1")
def _documented() -> None:
    run_documented("python-sdk.v1")


# Who stops waiting for an answer tells nobody so: this version has no way to cancel.
register(Way("http", "2025-06-18", over_http, without=("call.left",)))

if __name__ == "__main__":
    run()
