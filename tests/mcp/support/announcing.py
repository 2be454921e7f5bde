"""An upstream of the current protocol that announces what it is told to, stream by stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from spindle_spi.types import Receive, Scope, Send


@dataclass
class Listened:
    """One stream of `subscriptions/listen`."""

    identity: Any
    wanted: JsonObject
    acknowledge: anyio.Event = field(default_factory=anyio.Event)
    end: anyio.Event = field(default_factory=anyio.Event)
    is_left: bool = False
    waiting: list[JsonObject] = field(default_factory=list[JsonObject])

    def say(self, method: str, **params: Json) -> None:
        meta: JsonObject = {"io.modelcontextprotocol/subscriptionId": self.identity}
        said: JsonObject = {"_meta": meta, **params}
        self.waiting.append({"jsonrpc": "2.0", "method": method, "params": said})

    def update(self, uri: str) -> None:
        self.say("notifications/resources/updated", uri=uri)


@dataclass
class Announcing:
    """Answers `server/discover` and `subscriptions/listen`."""

    streams: list[Listened] = field(default_factory=list[Listened])
    acknowledges: bool = True
    """At once; otherwise each stream when it is told to."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message: Any = json.loads((await receive())["body"])

        if message["method"] == "subscriptions/listen":
            listened = Listened(message["id"], message["params"]["notifications"])
            self.streams.append(listened)

            if self.acknowledges:
                listened.acknowledge.set()

            await self._announce(listened, receive, send)
            return

        result: JsonObject = {
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": {
                "tools": {"listChanged": True},
                "resources": {"subscribe": True},
            },
        }
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        await send({"type": "http.response.body", "body": body})

    async def _announce(self, listened: Listened, receive: Receive, send: Send) -> None:
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})

        async with anyio.create_task_group() as group:

            async def leave() -> None:
                await receive()
                listened.is_left = True
                group.cancel_scope.cancel()

            group.start_soon(leave)
            await listened.acknowledge.wait()
            listened.waiting.insert(0, _acknowledged(listened))

            while not listened.end.is_set():
                while listened.waiting:
                    said = json.dumps(listened.waiting.pop(0)).encode()
                    body = b"event: message\r\ndata: %b\r\n\r\n" % said
                    await send({"type": "http.response.body", "body": body, "more_body": True})

                await anyio.sleep(0.005)

            await send({"type": "http.response.body", "body": b""})
            group.cancel_scope.cancel()


def _acknowledged(listened: Listened) -> JsonObject:
    meta: JsonObject = {"io.modelcontextprotocol/subscriptionId": listened.identity}
    params: JsonObject = {"_meta": meta, "notifications": listened.wanted}
    method = "notifications/subscriptions/acknowledged"
    return {"jsonrpc": "2.0", "method": method, "params": params}
