"""A REST API on a real port: says back what it was asked, answers as its paths say."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from spindle_spi.types import JsonObject
from tests.mcp.support.serving import listening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.types import Receive, Scope, Send

PNG = b"\x89PNG\r\n\x1a\nnot much of a picture"
STRING: JsonObject = {"type": "string"}
OBJECT: JsonObject = {"type": "object"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    """As it was written, escapes included."""
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Rest:
    """Records every request. What it answers stands at the end of the path."""

    document: JsonObject | bytes | None = None
    """Answered at `/openapi.json`."""
    document_status: int = 200
    token: str | None = None
    """Asked for at `/private`, and of who wants the document."""
    asked: list[Asked] = field(default_factory=list[Asked])
    reached: anyio.Event = field(default_factory=anyio.Event)
    """Set when a request began to hang."""
    left: anyio.Event = field(default_factory=anyio.Event)
    """Set when the client of a hanging request left."""

    @property
    def last(self) -> Asked:
        """The last request."""
        return self.asked[-1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asked = Asked(
            method=scope["method"],
            path=scope["raw_path"].decode(),
            query=scope["query_string"].decode(),
            headers=headers,
            body=await _body(receive),
        )
        self.asked.append(asked)

        if asked.path == "/openapi.json":
            await self._document(asked, send)
            return

        kind, *rest = asked.path.rsplit("/", 2)[1:]

        match kind:
            case "status":
                await self._status(int(rest[0]), asked, send)
            case "as":
                await self._as(rest[0], send)
            case "hang":
                self.reached.set()
                await _gone(receive)
                self.left.set()
            case _:
                await answer(send, 200, "application/json", _echo(asked))

    async def _document(self, asked: Asked, send: Send) -> None:
        if self.token is not None and asked.headers.get("authorization") != f"Bearer {self.token}":
            await answer(send, 401, "application/json", b"{}")
            return

        document = self.document
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        await answer(send, self.document_status, "application/json", content)

    async def _status(self, status: int, asked: Asked, send: Send) -> None:
        more = {"retry-after": "7"} if status == 429 else {}

        if 300 <= status < 400:
            more["location"] = "http://127.0.0.1:1/elsewhere"

        said = {"problem": "no such thing", "asked": json.loads(_echo(asked))}
        content = b"" if status in (204, 304) else json.dumps(said).encode()
        await answer(send, status, "application/json", content, **more)

    async def _as(self, kind: str, send: Send) -> None:
        contents: dict[str, tuple[str, bytes]] = {
            "png": ("image/png", PNG),
            "wav": ("audio/wav", b"RIFF"),
            "pdf": ("application/pdf", b"%PDF"),
            "latin": ("text/plain; charset=latin-1", "grün".encode("latin-1")),
            "list": ("application/json", b"[1, 2]"),
            "number": ("application/json", b"12"),
            "null": ("application/json", b"null"),
            "broken": ("application/json", b'{"a": '),
            "huge": ("application/json", b'"' + b"x" * 200_000 + b'"'),
            "odd": ("application/json", b'{"name": 5}'),
            "problem": ("application/problem+json", b'{"title": "t"}'),
        }
        await answer(send, 200, *contents[kind])


async def answer(send: Send, status: int, kind: str, content: bytes, **more: str) -> None:
    """Send an answer."""
    named = {"content-type": kind, "content-length": str(len(content)), **more}
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _echo(asked: Asked) -> bytes:
    said: JsonObject = {
        "method": asked.method,
        "path": asked.path,
        "query": asked.query,
        "headers": dict(asked.headers),
        "body": asked.body.decode("utf-8", "replace"),
    }
    return json.dumps(said).encode()


async def _body(receive: Receive) -> bytes:
    body = b""

    while True:
        message = await receive()
        more: bytes = message.get("body", b"")
        body += more

        if not message.get("more_body", False):
            return body


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@asynccontextmanager
async def rest_api(rest: Rest, *, port: int = 0) -> AsyncGenerator[str]:
    """Serve it; gives the address without a path."""
    async with listening(rest, port=port) as url:
        yield url


def openapi(paths: dict[str, Any], version: str = "3.1.0", **more: Any) -> JsonObject:
    """Return a document of some paths."""
    return {"openapi": version, "info": {"title": "T", "version": "1"}, "paths": paths, **more}


def parameter(name: str, place: str = "query", **more: Any) -> JsonObject:
    """Return a parameter; a string unless its schema is given."""
    found: JsonObject = {"name": name, "in": place, "schema": STRING, **more}
    return {**found, "required": True} if place == "path" else found


def json_body(schema: JsonObject, *, required: bool = True) -> JsonObject:
    """Return a request body."""
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def json_answer(schema: JsonObject) -> JsonObject:
    """Return the responses of an operation with one kind of success."""
    content: JsonObject = {"application/json": {"schema": schema}}
    return {"200": {"description": "It went well.", "content": content}}
