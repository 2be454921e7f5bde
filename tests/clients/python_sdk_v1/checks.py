"""The Python SDK of last year, which speaks 2025-06-18 at most; in an environment of its own."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
# mypy: disable-error-code="import-not-found, attr-defined, no-untyped-call"

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamablehttp_client

from tests.clients.harness import (
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
    from collections.abc import AsyncGenerator


class SdkSession:
    """An initialized session of the SDK."""

    def __init__(self, session: Any, initialized: Any) -> None:
        self._session = session
        self._initialized = initialized

    @property
    def version(self) -> str:
        return str(self._initialized.protocolVersion)

    @property
    def server(self) -> str:
        return str(self._initialized.serverInfo.name)

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self._session.list_tools()).tools]

    async def call(self, name: str, arguments: dict[str, Any], hear: Hear | None = None) -> Outcome:
        try:
            result = await self._session.call_tool(name, arguments, progress_callback=hear)
        except McpError as exc:
            raise Refused(exc.error.code, exc.error.message) from exc

        return Outcome(
            text="".join(part.text for part in result.content),
            structured=result.structuredContent,
            is_error=result.isError,
        )


@asynccontextmanager
async def over_http(token: str, server: str | None) -> AsyncGenerator[Session]:
    headers = {"authorization": f"Bearer {token}"}

    async with (
        streamablehttp_client(gateway.endpoint(server), headers=headers) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        yield SdkSession(session, await session.initialize())


@check("documented.python-sdk.v1")
def _documented() -> None:
    run_documented("python-sdk.v1")


register(Way("http", "2025-06-18", over_http))

if __name__ == "__main__":
    run()
