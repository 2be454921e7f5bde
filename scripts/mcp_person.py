"""The person of the suite's auth scenarios: lets the gateway act for them, as a browser would.

They have a token of the gateway and no login. They open the gateway's address for consent, go
where it leads, and come back with what the authorization server said; then they work through the
gateway with the SDK's client, and agree again where the gateway asks them to.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, Literal, cast

import anyio
import httpx2
import mcp_types
from anyio.to_thread import run_sync
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from scripts.mcp_programs import lists_tools

if TYPE_CHECKING:
    from mcp.client.context import ClientRequestContext

TOOLS_SECONDS: Final = 15.0
MOST_CONSENTS: Final = 5
DOWN: Final = "mcp.gateway.down"
NO_TOOLS: Final = "no tools"
REFUSED: Final = {
    "auth/resource-mismatch": "mcp.upstream.no_token",
    "auth/metadata-issuer-mismatch": "mcp.upstream.no_token",
    "auth/iss-supported-missing": "mcp.authorization.issuer",
    "auth/iss-wrong-issuer": "mcp.authorization.issuer",
    "auth/iss-unexpected": "mcp.authorization.issuer",
    "auth/iss-normalized": "mcp.authorization.issuer",
    "auth/scope-retry-limit": NO_TOOLS,
}
"""How a scenario has to end that must not go on: the code of the gateway's refusal."""
_ADDRESS = re.compile(r"open (http\S+) as yourself")


class Refused(Exception):
    """The gateway ends it; what is said is the code."""


class Person:
    """Somebody who uses a gateway's tools."""

    def __init__(self, base: str, token: str, gateway: str) -> None:
        self._base = base
        self._token = token
        self._gateway = gateway
        self._headers = {"authorization": f"Bearer {token}"}

    async def work(self, endpoint: str) -> None:
        """Agree, and call the first tool there is.

        Raises:
            Refused: The gateway does not go on.
        """
        await self.agree(f"{self._base}/mcp/authorize/{self._gateway}")

        for _ in range(MOST_CONSENTS):
            if await self._finds_tools(endpoint):
                break

            if await self._has_agreed():
                raise Refused(NO_TOOLS)

            await self.agree(f"{self._base}/mcp/authorize/{self._gateway}")

        http = httpx2.AsyncClient(headers=self._headers, timeout=30.0, trust_env=False)
        transport = streamable_http_client(endpoint, http_client=http)

        async with Client(transport, mode=_mode(), elicitation_callback=self._be_shown) as client:
            refused = await self._use(client)

        if refused is not None:
            raise refused

    async def _use(self, client: Client) -> Refused | None:
        """Call the first tool until it answers; returns how the gateway ended it, or None."""
        tool = (await client.list_tools()).tools[0]

        try:
            for _ in range(MOST_CONSENTS):
                failure = await _called(client, tool.name)

                if failure is None:
                    return None

                await self._follow(failure)
        except Refused as exc:
            return exc

        return Refused("no end of consents")

    async def agree(self, address: str) -> None:
        """Open an address of the gateway, and say yes where it leads.

        Raises:
            Refused: The gateway does not take it.
        """
        async with httpx2.AsyncClient(trust_env=False, timeout=30.0) as browser:
            begun = await browser.get(address, headers=self._headers)

            if begun.status_code != 302:
                raise Refused(_code_in(begun))

            said = await browser.get(begun.headers["location"])
            back = said.headers["location"]
            assert back.startswith(f"{self._base}/mcp/callback?")
            ended = await browser.get(back, headers=self._headers)

            if ended.status_code != 200:
                raise Refused(_code_in(ended))

    async def _be_shown(
        self, context: ClientRequestContext, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult:
        """Open the link that the client shows."""
        del context
        assert isinstance(params, mcp_types.ElicitRequestURLParams)

        try:
            await self.agree(params.url)
        except Refused:
            return mcp_types.ElicitResult(action="decline")

        return mcp_types.ElicitResult(action="accept")

    async def _follow(self, failure: MCPError) -> None:
        """Open the address that a refusal names."""
        found = _ADDRESS.search(failure.message)

        if found is None:
            raise Refused(_code_of(failure))

        await self.agree(found[1])

    async def _finds_tools(self, endpoint: str) -> bool:
        """Wait for tools, as long as there is hope."""
        with anyio.move_on_after(TOOLS_SECONDS):
            while not await run_sync(lists_tools, endpoint, self._token):
                if not await self._has_agreed():
                    return False

                await anyio.sleep(0.1)

            return True

        return False

    async def _has_agreed(self) -> bool:
        async with httpx2.AsyncClient(trust_env=False, timeout=30.0) as browser:
            answer = await browser.get(f"{self._base}/mcp/grants", headers=self._headers)
            return any(one["gateway"] == self._gateway for one in answer.json()["data"])


async def _called(client: Client, tool: str) -> MCPError | None:
    """Call a tool; returns its refusal. A gateway that is not connected yet is asked again."""
    with anyio.move_on_after(TOOLS_SECONDS):
        while True:
            try:
                await client.call_tool(tool, {})
            except MCPError as exc:
                if _code_of(exc) != DOWN:
                    return exc

                await anyio.sleep(0.2)
            else:
                return None

    raise Refused(DOWN)


def _code_of(failure: MCPError) -> str:
    data = cast("dict[str, object]", failure.data or {})
    return str(data.get("code", failure.message))


def _mode() -> Literal["legacy", "auto"]:
    """Return how the SDK's own conformance client would connect."""
    is_modern = os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"] in MODERN_PROTOCOL_VERSIONS
    return "auto" if is_modern else "legacy"


def _code_in(answer: httpx2.Response) -> str:
    return str(answer.json()["error"]["code"])
