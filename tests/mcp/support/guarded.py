"""An upstream that lets nobody in without a token of its authorization server, or a header."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spindle_spi.types import ASGIApp
from tests.support.authorization_server import AuthorizationServer
from tests.support.http_server import Asked

if TYPE_CHECKING:
    from spindle_spi.types import Json, Message, Receive, Scope, Send

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
    """Over what it says of itself; None takes one out."""
    place: str | None = METADATA
    """Where it says that; None: nowhere."""
    asked: list[str] = field(default_factory=list[str])
    """The paths beside the endpoint that were asked for."""
    is_server: bool = False
    """Answers beside the endpoint as the authorization server does, as before 2025-06-18."""
    needed: dict[str, str] = field(default_factory=dict[str, str])
    """The scope that a token needs, by the method of the protocol."""
    challenge: str = "Bearer"
    lack: str | None = None
    """What it says to who lacks a scope; None: that."""
    refusals: int = 0
    """How many requests were refused."""
    refuses_all: bool = False
    subjects: list[str | None] = field(default_factory=list[str | None])
    """For whom each request was that came in."""
    shown: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """The headers of every request to the endpoint."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}

        if scope["path"] != "/mcp":
            self.asked.append(scope["path"])
            await self._tell(scope, headers, receive, send)
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
        receive, method = await _overheard(receive)
        needed = self.needed.get(method)

        if needed is not None and grant is not None and needed not in grant.scope.split():
            self.refusals += 1
            challenge = self.lack or f'Bearer error="insufficient_scope", scope="{needed}"'
            said = [(b"www-authenticate", challenge.encode())]
            await send({"type": "http.response.start", "status": 403, "headers": said})
            await send({"type": "http.response.body", "body": b""})
            return

        await self.app(scope, receive, send)

    async def _tell(
        self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send
    ) -> None:
        if self.is_server and self.server is not None:
            body = (await receive()).get("body", b"")
            target = f"{scope['path']}?{scope['query_string'].decode()}"
            answered = await self.server.answer(Asked(scope["method"], target, headers, body))
            kind = [(b"content-type", b"application/json")]
            start = {"type": "http.response.start", "status": answered.status, "headers": kind}
            await send(start)
            await send({"type": "http.response.body", "body": answered.body})
            return

        if scope["path"] != self.place or self.server is None:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return

        said = {
            "resource": f"http://{headers['host']}/mcp",
            "authorization_servers": [self.server.url],
            "scopes_supported": ["tools"],
            **self.metadata,
        }
        said = {name: value for name, value in said.items() if value is not None}
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})


async def _overheard(receive: Receive) -> tuple[Receive, str]:
    """Return what is received, as if nobody had heard it, and which method that is about."""
    first = await receive()
    body: bytes = first.get("body", b"")
    is_whole = not first.get("more_body", False)
    said: Json = json.loads(body) if body and is_whole else {}
    is_told = False

    async def again() -> Message:
        nonlocal is_told

        if is_told:
            return await receive()

        is_told = True
        return first

    return again, str(said.get("method", "")) if isinstance(said, dict) else ""
