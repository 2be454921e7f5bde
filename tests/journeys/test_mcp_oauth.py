"""An MCP client logs in by OAuth: from a bare URL to a tool, behind a proxy."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2
import pytest
from mcp.client import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from tests.support.authorization_server import AuthorizationServer, Grant, authorization_server
from tests.support.spindle_process import SpindleProcess, running_spindle
from tests.support.tcp_proxy import proxied

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.anyio

BACK = "http://localhost:7777/callback"
PERSON = "ann@example.com"
SCOPE = "servers.use tools.read tools.execute"


@dataclass
class Kept:
    """What the client remembers."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class Browser:
    """Says yes for a person."""

    server: AuthorizationServer
    seen: list[str] = field(default_factory=list[str])

    async def open(self, url: str) -> None:
        self.seen.append(url)

    async def back(self) -> AuthorizationCodeResult:
        query = self.server.approve(self.seen[-1], PERSON)
        return AuthorizationCodeResult(**query)


@dataclass(frozen=True, slots=True)
class Place:
    """A gateway behind a proxy, and who vouches for its callers."""

    process: SpindleProcess
    server: AuthorizationServer
    url: str

    async def refused(self, path: str, token: str = "") -> httpx2.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}

        async with httpx2.AsyncClient(base_url=self.url, trust_env=False) as client:
            return await client.post(path, headers=headers, json={})

    async def get(self, path: str) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.url, trust_env=False) as client:
            return await client.get(path)

    def token(self, resource: str, scope: str = SCOPE) -> str:
        return self.server.jwt(Grant("c", "x", subject=PERSON, resource=resource, scope=scope))


@asynccontextmanager
async def place(home: Path, *, has_provider: bool = True) -> AsyncGenerator[Place]:
    async with authorization_server() as server, proxied("") as proxy:
        server.claims = {}
        url = f"http://{proxy.address}"
        issuer = {
            "issuer": server.url,
            "audiences": ["everything-here"],
            "algorithms": ["ES256"],
            "jwks_url": f"{server.url}/jwks",
            "claims": {"scope": "scope"},
            "auto_create": True,
            "default_role": "developer",
        }
        settings = {
            "server": {"public_url": url},
            "auth": {"jwt": [issuer] if has_provider else []},
            "mcp": {"gateways": {"demo": {"transport": "builtin"}}},
            "servers": {
                "desk": {"gateways": ["demo"], "visibility": "public"},
                "closet": {"gateways": ["demo"], "visibility": "team", "team": "red"},
            },
        }

        async with running_spindle(settings, home=home) as process:
            proxy.target = process.url.removeprefix("http://")
            yield Place(process, server, url)


async def test_a_client_that_knows_the_url_alone_comes_to_call_a_tool(tmp_path: Path) -> None:
    """Challenge, metadata of both servers, registration, consent, token, call."""
    async with place(tmp_path) as here:
        browser = Browser(here.server)
        kept = Kept()
        provider = OAuthClientProvider(
            f"{here.url}/mcp",
            OAuthClientMetadata(
                redirect_uris=[AnyUrl(BACK)],
                client_name="test",
                token_endpoint_auth_method="none",
                grant_types=["authorization_code", "refresh_token"],
                response_types=["code"],
            ),
            kept,
            redirect_handler=browser.open,
            callback_handler=browser.back,
        )

        async with (
            httpx2.AsyncClient(auth=provider, trust_env=False, timeout=20.0) as http,
            Client(streamable_http_client(f"{here.url}/mcp", http_client=http)) as client,
        ):
            listed = await client.list_tools()
            assert "demo__echo" in [tool.name for tool in listed.tools]
            result = await client.call_tool("demo__echo", {"text": "hi"})

        assert "hi" in str(result)
        assert kept.tokens is not None
        assert len(browser.seen) == 1
        (form,) = here.server.forms()
        assert form["resource"] == f"{here.url}/mcp"
        # The token is for that endpoint, and for nothing else of ours.
        token = kept.tokens.access_token
        assert (await here.refused("/servers/desk/mcp", token)).status_code == 401
        assert (await here.refused("/v1/chat/completions", token)).status_code == 401
        assert (await here.refused("/mcp-key", token)).status_code == 401


async def audiences(here: Place) -> None:
    """A token holds at its resource and under it; with a configured audience everywhere."""

    async def is_let_in(audience: str, path: str) -> bool:
        answer = await here.refused(path, here.token(audience))
        return answer.status_code != 401

    desk = f"{here.url}/servers/desk/mcp"
    assert await is_let_in(desk, "/servers/desk/mcp")
    assert not await is_let_in(desk, "/mcp")
    assert not await is_let_in(desk, "/servers/desk/mcp-key")
    assert await is_let_in(here.url, "/mcp")
    assert await is_let_in(here.url, "/servers/desk/mcp")
    assert await is_let_in("everything-here", "/servers/desk/mcp-key")
    assert not await is_let_in(f"{here.url}0/mcp", "/mcp")
    assert not await is_let_in("https://elsewhere.example/mcp", "/mcp")
    assert await is_let_in(f"{here.url}/sse", "/sse/messages")
    assert not await is_let_in(f"{here.url}/sse", "/mcp")


async def challenges(here: Place) -> None:
    """Without a token, with a bad one, and with one that may too little."""
    metadata = f'resource_metadata="{here.url}/.well-known/oauth-protected-resource'
    nobody = await here.refused("/mcp")
    stranger = await here.refused("/servers/desk/mcp", "wrong")
    poor = await here.refused("/mcp", here.token(f"{here.url}/mcp", "tools.read"))
    older = await here.get("/servers/desk/sse")
    key = await here.refused("/mcp-key")
    other = await here.refused("/v1/chat/completions")

    said = [
        answer.headers["www-authenticate"] for answer in (nobody, stranger, poor, older, key, other)
    ]
    assert said == [
        f'Bearer realm="spindle", {metadata}/mcp", scope="{SCOPE}"',
        f'Bearer realm="spindle", error="invalid_token", {metadata}/servers/desk/mcp", '
        f'scope="{SCOPE}"',
        f'Bearer realm="spindle", error="insufficient_scope", {metadata}/mcp", scope="{SCOPE}"',
        f'Bearer realm="spindle", {metadata}/servers/desk/sse", scope="{SCOPE}"',
        'Bearer realm="spindle"',
        'Bearer realm="spindle"',
    ]
    assert [nobody.status_code, stranger.status_code, poor.status_code] == [401, 401, 403]


async def hidden_is_absent(here: Place) -> None:
    """Byte for byte, but for the name that was asked for."""
    known = "/.well-known/oauth-protected-resource"
    answers = {
        name: [
            await here.refused(f"/servers/{name}/mcp"),
            await here.refused(f"/servers/{name}/mcp", here.token("everything-here")),
            await here.get(f"{known}/servers/{name}/mcp"),
        ]
        for name in ("closet", "absent")
    }

    def plain(name: str) -> list[tuple[int, str, list[tuple[str, str]]]]:
        return [
            (
                answer.status_code,
                answer.text.replace(name, "NAME").replace(answer.headers["x-request-id"], "ID"),
                sorted(
                    (key, value.replace(name, "NAME"))
                    for key, value in answer.headers.items()
                    if key not in ("x-request-id", "date")
                ),
            )
            for answer in answers[name]
        ]

    assert plain("closet") == plain("absent")
    assert [answer.status_code for answer in answers["closet"]] == [401, 404, 200]


async def metadata(here: Place) -> None:
    """The root is another place for the same; twins for keys have none."""
    known = "/.well-known/oauth-protected-resource"
    mcp, root = await here.get(f"{known}/mcp"), await here.get(known)
    older = await here.get(f"{known}/servers/desk/sse")
    key = await here.get(f"{known}/mcp-key")
    twin = await here.get(f"{known}/servers/desk/mcp-key")

    assert mcp.json() == {
        "resource": f"{here.url}/mcp",
        "authorization_servers": [here.server.url],
        "scopes_supported": SCOPE.split(),
        "bearer_methods_supported": ["header"],
        "resource_name": "Spindle",
    }
    assert root.json() == mcp.json()
    assert older.json() == {**mcp.json(), "resource": f"{here.url}/servers/desk/sse"}
    assert (key.status_code, twin.status_code) == (404, 404)


async def test_without_an_identity_provider_there_is_no_metadata(tmp_path: Path) -> None:
    """And a plain challenge: whoever has a token of ours knows where it is from."""
    async with place(tmp_path, has_provider=False) as here:
        known = "/.well-known/oauth-protected-resource"
        answers = [await here.get(path) for path in (known, f"{known}/mcp", f"{known}/nothing")]
        refused = await here.refused("/mcp")

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert {answer.json()["error"]["code"] for answer in answers} == {"core.path_unknown"}
    assert refused.headers["www-authenticate"] == 'Bearer realm="spindle"'


async def test_refusals_and_metadata_lead_a_client_to_its_token(tmp_path: Path) -> None:
    """One gateway, every question a client or a stranger may ask it."""
    async with place(tmp_path) as here:
        await audiences(here)
        await challenges(here)
        await hidden_is_absent(here)
        await metadata(here)
