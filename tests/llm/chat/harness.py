"""Session chats as a client meets them: real ingress, relay and upstream, and a host in memory."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from spindle.ingress.app import Ingress, IngressSettings
from spindle.ingress.routes import RouteSource, RouteTable
from spindle_conformance.fakes import FakeHost
from spindle_llm.chat.routes import chat_routes
from spindle_llm.providers.registry import adapters
from spindle_llm.routing.health import HealthBoard
from spindle_llm.routing.upstreams import Upstreams
from spindle_llm.runtime import Runtime, State
from spindle_llm.settings import LlmSettings
from spindle_spi.policy import permitted
from tests.llm.chat.records import Tools

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from spindle_spi.context import AuthenticatedContext, Subject, TraceContext
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A module that serves chats, and everything around it."""

    host: FakeHost
    tools: Tools
    runtime: Runtime
    ingress: Ingress

    async def ask(
        self, who: str, method: str, path: str, body: JsonObject | bytes | None = None
    ) -> httpx2.Response:
        """Send a request as a caller."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        transport = httpx2.ASGITransport(app=self.ingress)

        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(
                method, path, content=content, headers={"authorization": f"Bearer {who}"}
            )

    async def connect(self, who: str, model: str, server: JsonObject | None = None) -> None:
        """Open a session that must open."""
        body: JsonObject = {"user_id": who, "llm": {"model": model}, "server": server}
        response = await self.ask(who, "POST", "/llmchat/connect", body)
        assert response.status_code == 200, response.text

    async def say(self, who: str, message: str) -> httpx2.Response:
        """Say something in the caller's session."""
        body: JsonObject = {"user_id": who, "message": message}
        return await self.ask(who, "POST", "/llmchat/chat", body)

    def events(self) -> list[str]:
        """Return the types of the only session's events."""
        (session,) = self.host.sessions.held.values()
        return [event.type for event in self.host.sessions.events[session.id]]

    def settled(self) -> list[tuple[str, str]]:
        """Return the records that were called, and how each call ended."""
        return [
            (one.permit.record.name, one.outcome.status.value) for one in self.host.journal.settled
        ]


@dataclass(slots=True, kw_only=True)
class _Callers:
    host: FakeHost

    def resolve(
        self,
        *,
        credential: str | None,
        client_ip: str | None,
        trace: TraceContext,
        server_slug: str | None = None,
        path: str | None = None,
    ) -> AuthenticatedContext:
        del server_slug, path
        return self.host.callers.resolve(credential, trace=trace, client_ip=client_ip)

    def is_current(self, subject: Subject) -> bool:
        return self.host.callers.is_current(subject)

    def permitted(self, context: AuthenticatedContext, permission: str) -> bool:
        return permitted(context, permission)

    def view_key(self, context: AuthenticatedContext) -> str:
        del context
        return ""


@dataclass(slots=True, kw_only=True)
class _Leases:
    host: FakeHost

    def has_open(self, lease_id: str) -> bool:
        return self.host.has_lease(lease_id)

    async def end(self, lease_id: str) -> None:
        self.host.end_lease(lease_id)


class _NoMeter:
    def counter(self, name: str, labels: Mapping[str, str] | None = None) -> _NoMeter:
        del name, labels
        return self

    def histogram(self, name: str, labels: Mapping[str, str] | None = None) -> _NoMeter:
        del name, labels
        return self

    def add(self, value: float) -> None:
        del value


@asynccontextmanager
async def chats(
    records: Sequence[CatalogRecord],
    callers: Sequence[AuthenticatedContext],
    settings: JsonObject | None = None,
    section: JsonObject | None = None,
) -> AsyncGenerator[World]:
    """Serve session chats; a caller's credential is their e-mail, or their token's id."""
    contexts = {
        context.subject.user_email or str(context.subject.token_id): context for context in callers
    }
    host, tools = FakeHost(records, callers=contexts), Tools()
    host.owners["mcp"] = tools
    services = host.services_for("llm")
    upstreams = Upstreams(services, adapters())
    runtime = Runtime(
        services=services,
        settings=LlmSettings.of({**(section or {}), "chat": settings or {}}),
        upstreams=upstreams,
        health=HealthBoard(upstreams),
        spawn=_no_spawn,
    )
    state = State()
    state.set(runtime)
    ingress = Ingress(
        table=RouteTable([RouteSource(owner="llm", routes=chat_routes(state))]),
        callers=_Callers(host=host),
        leases=_Leases(host=host),
        meter=_NoMeter(),
        settings=IngressSettings(body_limit=1_000_000, allowed_hosts=("localhost",)),
    )

    try:
        yield World(host=host, tools=tools, runtime=runtime, ingress=ingress)
    finally:
        await upstreams.close()


def _no_spawn(name: str, work: Callable[[], Awaitable[None]]) -> None:
    del work
    raise AssertionError(f"{name} was started, and nothing of a chat outlives its call")
