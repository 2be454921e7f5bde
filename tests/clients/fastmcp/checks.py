"""FastMCP's client. Runs in an environment of its own."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastmcp import Client
from mcp.shared.exceptions import MCPError

from tests.clients.harness import (
    LEGACY,
    MODERN,
    Hear,
    Outcome,
    Refused,
    Session,
    Way,
    check,
    gateway,
    register,
    run,
    run_documented,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class FastMcpSession:
    """A connected client of FastMCP's."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def version(self) -> str:
        return str(self._client.protocol_version)

    @property
    def server(self) -> str:
        return str(self._client.server_info.name)

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self._client.list_tools()]

    async def call(self, name: str, arguments: dict[str, Any], hear: Hear | None = None) -> Outcome:
        try:
            result = await self._client.call_tool(
                name, arguments, progress_handler=hear, raise_on_error=False
            )
        except MCPError as exc:
            raise Refused(exc.error.code, exc.error.message) from exc

        return Outcome(
            text="".join(part.text for part in result.content),
            structured=result.structured_content,
            is_error=result.is_error,
        )


def over_http(mode: str) -> Callable[[str, str | None], AbstractAsyncContextManager[Session]]:
    @asynccontextmanager
    async def connect(token: str, server: str | None) -> AsyncGenerator[Session]:
        async with Client(gateway.endpoint(server), auth=token, mode=mode) as client:
            yield FastMcpSession(client)

    return connect


@check("documented.fastmcp.client")
def _documented() -> None:
    run_documented("fastmcp.client")


register(Way("auto", MODERN, over_http("auto")), Way("legacy", LEGACY, over_http("legacy")))

if __name__ == "__main__":
    run()
