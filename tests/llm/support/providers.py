"""Several providers in one gateway, each a scripted upstream over a socket of its own."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from spindle_conformance.fakes import FakeHost
from spindle_conformance.upstreams.server import Play, ScriptedServer, Seen
from tests.llm.support.gateway import Client, Gateway, running
from tests.llm.support.records import CONTEXT, SPEC, provider

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import CatalogRecord, ProviderSpec
    from spindle_spi.types import JsonObject

DEAD = "http://127.0.0.1:9"
"""Where nobody listens."""


@dataclass(slots=True)
class Providers:
    """A gateway over its providers."""

    gateway: Gateway
    servers: dict[str, ScriptedServer]

    def asked(self) -> dict[str, int]:
        """Return how often each provider was asked."""
        return {name: len(server.seen) for name, server in self.servers.items()}

    async def chat(
        self, model: str | None, *, stream: bool = False, headers: dict[str, str] | None = None
    ) -> Client:
        """Ask for a chat; None names no model."""
        body: JsonObject = {"messages": [{"role": "user", "content": "hi"}], "stream": stream}

        if model is not None:
            body["model"] = model

        return await self.gateway.ask(body, headers=headers)

    async def route(self, client: Client, *, context: AuthenticatedContext = CONTEXT) -> JsonObject:
        """Return the record of the route of a call."""
        route_id = client.headers["x-spindle-route"]
        shown = await self.gateway.ask(
            method="GET", path=f"/llm/routes/{route_id}", context=context
        )
        assert shown.status == 200, shown.content
        return shown.json


def script(*plays: Play) -> Callable[[Seen], Play]:
    """Return a handler that plays one after the other, the last for ever."""
    waiting = list(plays)

    def play(seen: Seen) -> Play:
        del seen
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return play


@asynccontextmanager
async def providers(
    plays: Mapping[str, Callable[[Seen], Play] | Play],
    *records: CatalogRecord,
    specs: Mapping[str, ProviderSpec] | None = None,
    section: JsonObject | None = None,
) -> AsyncGenerator[Providers]:
    """Run the module over providers of these names.

    A spec that has addresses keeps them, and its own server is one more.
    """
    servers: dict[str, ScriptedServer] = {}
    made: list[CatalogRecord] = []

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group, AsyncExitStack() as stack:
            for name, play in plays.items():
                handler = script(play) if isinstance(play, Play) else play
                servers[name] = ScriptedServer(handler=handler)
                url = await group.start(_serve, servers[name])
                spec = (specs or {}).get(name, SPEC)
                made.append(provider(name, spec=replace(spec, urls=(*spec.urls, url))))

            host = FakeHost([*made, *records])
            module = await stack.enter_async_context(running(host, section))
            first = next(iter(servers))
            yield Providers(Gateway(module, host, servers[first], "", group), servers)
            group.cancel_scope.cancel()


async def _serve(
    server: ScriptedServer, *, task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED
) -> None:
    await server.serve(0, task_status.started)
