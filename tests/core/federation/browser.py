"""A browser at a gateway's ingress: it keeps cookies and follows nothing by itself."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spindle.config.auth import session_cookie
from spindle.ingress.app import Ingress, IngressSettings
from spindle.ingress.routes import RouteSource, RouteTable
from spindle_spi.ingress import ANY_CALLER, PUBLIC, Call, IngressRoute
from tests.core.heart import Heart, open_heart
from tests.support.identity_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    IdentityProvider,
    identity_provider,
    query,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import pytest

    from spindle.federation.sessions import LoginSessions
    from spindle_spi.types import Message, Receive, Scope, Send

HOST = "gate.example"


@dataclass(slots=True)
class Page:
    """What came back."""

    status: int = 0
    location: str = ""
    cookies: list[str] = field(default_factory=list[str])
    body: bytes = b""

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def code(self) -> str:
        return str(self.data["error"]["code"])


@dataclass(slots=True, kw_only=True)
class Browser:
    """One person's browser."""

    ingress: Ingress
    jar: dict[str, str] = field(default_factory=dict[str, str])

    async def go(self, method: str, target: str, **headers: str) -> Page:
        """Send a request with the cookies of the jar."""
        parts = urlsplit(target)
        sent = [(b"host", HOST.encode())]
        sent += [
            (name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()
        ]

        if self.jar:
            kept = "; ".join(f"{name}={value}" for name, value in self.jar.items())
            sent.append((b"cookie", kept.encode()))

        scope: Scope = {
            "type": "http",
            "method": method,
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": sent,
            "client": ("127.0.0.1", 5),
        }
        page = Page()

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                page.status = message["status"]
                found = [(name.decode(), value.decode()) for name, value in message["headers"]]
                page.location = dict(found).get("location", "")
                page.cookies = [value for name, value in found if name == "set-cookie"]
            else:
                page.body += message["body"]

        await self.ingress(scope, receive, send)
        self._keep(page.cookies)
        return page

    def _keep(self, cookies: list[str]) -> None:
        for cookie in cookies:
            name, _, value = cookie.partition(";")[0].partition("=")

            if "Max-Age=0" in cookie:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value


@dataclass(slots=True, kw_only=True)
class Site:
    """A gateway people log in to, and their provider."""

    heart: Heart
    provider: IdentityProvider
    ingress: Ingress

    def browser(self) -> Browser:
        return Browser(ingress=self.ingress)

    @property
    def sessions(self) -> LoginSessions:
        federation = self.heart.core.federation
        assert federation is not None
        assert federation.sessions is not None
        return federation.sessions

    async def log_in(self, browser: Browser, **changes: str) -> Page:
        """Do all of a login; `changes` are to what the provider sends along."""
        begun = await browser.go("GET", "/auth/login")
        assert begun.status == 302, begun.body
        answer = self.provider.approve(begun.location, **changes)
        return await browser.go("GET", f"/auth/callback?{query(answer)}")


async def _probe(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
    del scope, receive
    subject = call.context.subject
    body = json.dumps({"email": subject.user_email, "teams": subject.token_teams}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


PROBES = [
    IngressRoute(method="GET", path="/me", permission=ANY_CALLER, handler=_probe),
    IngressRoute(method="POST", path="/me", permission=ANY_CALLER, handler=_probe),
    IngressRoute(method="GET", path="/open", permission=PUBLIC, handler=_probe),
]


@asynccontextmanager
async def site(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    origins: tuple[str, ...] = (),
    **keys: Any,
) -> AsyncGenerator[Site]:
    """A gateway whose people log in at a provider."""
    monkeypatch.setenv("OIDC_SECRET_OF_TESTS", CLIENT_SECRET)

    async with identity_provider() as provider:
        oidc = {
            "issuer": provider.url,
            "client_id": CLIENT_ID,
            "client_secret_env_var": "OIDC_SECRET_OF_TESTS",
            "redirect_url": f"https://{HOST}/auth/callback",
            "auto_create": True,
            "group_teams": {
                "eng": {"team": "red", "role": "developer"},
                "ops": {"team": "blue", "role": "team_admin"},
                "all": {"team": "missing"},
            },
            **keys,
        }

        async with open_heart(home, f"auth: {json.dumps({'oidc': oidc})}\n") as heart:
            for team in ("red", "blue"):
                await heart.core.store.teams.create(team, "")

            core = heart.core
            sources = [
                RouteSource(owner="core", routes=core.routes()),
                RouteSource(owner="sample", routes=PROBES),
            ]
            ingress = Ingress(
                table=RouteTable(sources),
                callers=core.identity,
                leases=core.leases,
                meter=core.metrics,
                settings=IngressSettings(
                    body_limit=1000,
                    allowed_hosts=(HOST,),
                    allowed_origins=origins,
                    session_cookie=session_cookie(core.settings.auth),
                ),
            )
            yield Site(heart=heart, provider=provider, ingress=ingress)
