"""A module before an upstream that wants persons' tokens, and those persons' browsers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.upstream.credentials.grants import Grant, read_grant
from spindle_spi.config_secrets import Deployment
from spindle_spi.gateway_auth import GatewayAuth
from spindle_spi.secret import SecretRef
from tests.mcp.support.guarded import Guarded
from tests.mcp.support.records import gateway, has_tool
from tests.mcp.support.serving import Served, listening, serving
from tests.mcp.support.upstream import Handshaking, Scripted
from tests.support.authorization_server import (
    AuthorizationServer,
    KnownClient,
    authorization_server,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import ASGIApp
    from tests.mcp.support.asking import Asking

PUBLIC_URL = "https://gateway.example"
CALLBACK = f"{PUBLIC_URL}/mcp/callback"
SECRET = "client-secret-of-the-tests"
ADA, BOB, ROBOT = "ada@example.org", "bob@example.org", "robot"

UNKNOWN: dict[str, Any] = {
    "issuer": None,
    "client_id": None,
    "client_secret": None,
    "client_auth": "none",
}
"""Of a gateway that no server knows."""


def people() -> dict[str, object]:
    robot = caller("robot@example.org")
    nobody = replace(robot, subject=replace(robot.subject, user_email=None))
    return {ADA: caller(ADA), BOB: caller(BOB), ROBOT: nobody}


@dataclass
class Place:
    """A module before a guarded upstream, and a person's browser."""

    served: Served
    server: AuthorizationServer
    guard: Guarded
    host: FakeHost
    url: str

    async def ask(self, method: str, path: str, who: str) -> httpx2.Response:
        headers = {"authorization": f"Bearer {who}"} if who else {}

        async with httpx2.AsyncClient(base_url=self.served.url, trust_env=False) as client:
            return await client.request(method, path, headers=headers)

    async def begin(self, who: str) -> str:
        answer = await self.ask("GET", "/mcp/authorize/up", who)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    async def finish(self, query: dict[str, str], who: str) -> httpx2.Response:
        return await self.ask("GET", f"/mcp/callback?{httpx2.QueryParams(query)}", who)

    async def authorize(self, who: str) -> None:
        """Say yes, and come back."""
        query = self.server.approve(await self.begin(who), who)
        answer = await self.finish(query, who)
        assert answer.status_code == 200, answer.text

        with anyio.fail_after(10):
            while not has_tool(self.host, "up__echo"):
                await anyio.sleep(0.005)

    async def asked(self, who: str) -> dict[str, str]:
        """Begin; returns what the authorization server is asked."""
        query = urlsplit(await self.begin(who)).query
        return {name: values[0] for name, values in parse_qs(query).items()}

    def kept(self, who: str) -> object:
        return self.host.outside.held.get(("mcp", who, "grant:gw-up"))

    def grant(self, who: str) -> Grant:
        grant = read_grant(self.host.outside.held["mcp", who, "grant:gw-up"].secret.secret)
        assert grant is not None
        return grant


@asynccontextmanager
async def place(
    era: str = "modern",
    *,
    public_url: str = PUBLIC_URL,
    asking: Asking | None = None,
    transport: str = "streamable_http",
    **changes: object,
) -> AsyncGenerator[Place]:
    guards: list[Guarded] = []

    async with authorization_server() as server:
        server.clients["spindle"] = KnownClient(secret=SECRET, redirects=(CALLBACK,))

        def guard(app: ASGIApp) -> Guarded:
            guards.append(Guarded(app, server))
            return guards[-1]

        given: dict[str, object] = {
            "type": "authorization_code",
            "issuer": server.url,
            "client_id": "spindle",
            "client_secret": SecretRef(name="client"),
            **changes,
        }
        auth = GatewayAuth(**given)  # type: ignore[arg-type] # the tests' own shorthand
        upstream: Handshaking | Asking = Handshaking(guarded=guard)

        if asking is not None:
            asking.guarded, upstream = guard, asking

        async with upstream.running() as legacy, listening(guard(Scripted())) as modern:
            is_first = era == "legacy" or asking is not None
            url = legacy if is_first else f"{modern}/mcp"
            record = gateway("up", url=url, auth=auth, era=era, transport=transport)
            host = FakeHost([record], secrets={"client": SECRET})
            host.outside.deployment = Deployment(public_url=public_url)

            async with serving(host, people()) as served:  # type: ignore[arg-type] # as above
                yield Place(served, server, guards[0 if is_first else 1], host, url)
