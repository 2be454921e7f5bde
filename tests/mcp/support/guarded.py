"""An upstream that lets nobody in without a token of its authorization server, or a header."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spindle_spi.types import ASGIApp
from tests.support.authorization_server import AuthorizationServer

if TYPE_CHECKING:
    from spindle_spi.types import Receive, Scope, Send

METADATA = "/.well-known/oauth-protected-resource/mcp"


@dataclass
class Guarded:
    """Stands before an upstream."""

    app: ASGIApp
    server: AuthorizationServer | None = None
    """Whose tokens are taken."""
    wanted: dict[str, str] = field(default_factory=dict[str, str])
    """Headers a request must have."""
    metadata: dict[str, object] = field(default_factory=dict[str, object])
    """Over what it says of itself."""
    challenge: str = "Bearer"
    refusals: int = 0
    """How many requests were refused."""
    refuses_all: bool = False
    subjects: list[str | None] = field(default_factory=list[str | None])
    """For whom each request was that came in."""
    shown: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """The headers of every request to the endpoint."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}

        if scope["path"].startswith("/.well-known/"):
            await self._tell(scope, headers, send)
            return

        self.shown.append(headers)
        token = headers.get("authorization", "").removeprefix("Bearer ")
        grant = None if self.server is None else self.server.tokens.get(token)
        is_known = self.server is None or grant is not None
        has_all = all(headers.get(name) == value for name, value in self.wanted.items())

        if self.refuses_all or not is_known or not has_all:
            self.refusals += 1
            said = [(b"www-authenticate", self.challenge.encode())]
            await send({"type": "http.response.start", "status": 401, "headers": said})
            await send({"type": "http.response.body", "body": b""})
            return

        self.subjects.append(None if grant is None else grant.subject)
        await self.app(scope, receive, send)

    async def _tell(self, scope: Scope, headers: dict[str, str], send: Send) -> None:
        if scope["path"] != METADATA or self.server is None:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return

        said = {
            "resource": f"http://{headers['host']}/mcp",
            "authorization_servers": [self.server.url],
            "scopes_supported": ["tools"],
            **self.metadata,
        }
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})
