"""An ingress over fakes of the core, called as an ASGI application without a server."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spindle.ingress.app import Ingress, IngressSettings
from spindle.ingress.exchange import ConnectionCut
from spindle.ingress.routes import RouteSource, RouteTable
from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.errors import NotFound, Unauthenticated
from spindle_spi.ingress import PUBLIC, Call, Handler, IngressPrefix, IngressRoute
from spindle_spi.shapes import JSON_RPC, OPENAI

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle.telemetry.spans import Tracing
    from spindle_spi.types import Message, Receive, Scope, Send

TOKENS = {"good": ("llm.invoke", "metrics.read"), "poor": ()}
HOST = (b"host", b"127.0.0.1:8080")


class Callers:
    """Two tokens, one server, and a switch that revokes everything."""

    def __init__(self) -> None:
        self.is_revoked = False
        self.traces: list[TraceContext] = []
        self.client_ips: list[str | None] = []

    def resolve(
        self,
        *,
        credential: str | None,
        client_ip: str | None,
        trace: TraceContext,
        server_slug: str | None = None,
        path: str | None = None,
    ) -> AuthenticatedContext:
        self.traces.append(trace)
        self.client_ips.append(client_ip)

        if credential not in TOKENS or self.is_revoked:
            raise Unauthenticated("The token is not valid.")

        if server_slug not in (None, "desk", "a/b"):
            raise NotFound("No such server.")

        return AuthenticatedContext(
            subject=Subject(token_id=credential),
            visibility_scope=VisibilityScope(permissions=TOKENS[credential], server_id=server_slug),
            trace=trace,
        )

    def is_current(self, subject: Subject) -> bool:
        del subject
        return not self.is_revoked

    def permitted(self, context: AuthenticatedContext, permission: str) -> bool:
        return permission in context.visibility_scope.permissions

    def view_key(self, context: AuthenticatedContext) -> str:
        return f"view of {context.subject.token_id}"


class Leases:
    """Leases that a handler may leave behind."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.ended: list[str] = []

    def has_open(self, lease_id: str) -> bool:
        return lease_id in self.open

    async def end(self, lease_id: str) -> None:
        self.open.discard(lease_id)
        self.ended.append(lease_id)


@dataclass(slots=True)
class Series:
    """One measure of a `Meter`."""

    meter: Meter
    name: str
    labels: tuple[tuple[str, str], ...] | None
    """Of a counter."""

    def add(self, value: float) -> None:
        if self.labels is None:
            self.meter.observed.append(self.name)
        else:
            self.meter.counts[self.name, self.labels] += int(value)


class Meter:
    """Counts by name and labels."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
        self.observed: list[str] = []

    def counter(self, name: str, labels: Mapping[str, str] | None = None) -> Series:
        return Series(self, name, tuple(sorted((labels or {}).items())))

    def histogram(self, name: str, labels: Mapping[str, str] | None = None) -> Series:
        del labels
        return Series(self, name, None)

    def total(self, name: str, **labels: str) -> int:
        return self.counts[name, tuple(sorted(labels.items()))]


@dataclass(slots=True)
class Answer:
    """What came back."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    body: bytes = b""
    is_complete: bool = False
    is_cut: bool = False


@dataclass(slots=True, kw_only=True)
class Harness:
    """An ingress with its fakes."""

    ingress: Ingress
    callers: Callers
    leases: Leases
    meter: Meter

    async def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = "good",
        headers: tuple[tuple[bytes, bytes], ...] = (HOST,),
        raw_path: bytes | None = None,
        query: bytes = b"",
        chunks: tuple[bytes, ...] = (b"",),
        leaves: bool = False,
        client: tuple[str, int] | None = ("127.0.0.1", 5),
        scheme: str = "http",
    ) -> Answer:
        """Send a request of some body chunks; with `leaves`, its client goes after them."""
        shown = () if token is None else ((b"authorization", f"Bearer {token}".encode()),)
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "raw_path": path.encode() if raw_path is None else raw_path,
            "headers": [*headers, *shown],
            "client": client,
            "scheme": scheme,
        }
        answer = Answer()
        events: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": leaves or index + 1 < len(chunks)}
            for index, chunk in enumerate(chunks)
        ]

        async def receive() -> Message:
            return events.pop(0) if events else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = dict(message["headers"])
            else:
                answer.body += message["body"]
                answer.is_complete = not message.get("more_body", False)

        try:
            await self.ingress(scope, receive, send)
        except ConnectionCut:
            answer.is_cut = True

        return answer


def make_harness(
    *sources: RouteSource,
    body_limit: int = 100,
    origins: tuple[str, ...] = (),
    tracing: Tracing | None = None,
) -> Harness:
    """Build an ingress over these routes."""
    callers, leases, meter = Callers(), Leases(), Meter()
    ingress = Ingress(
        table=RouteTable(sources),
        callers=callers,
        leases=leases,
        meter=meter,
        settings=IngressSettings(
            body_limit=body_limit,
            allowed_hosts=("127.0.0.1", "[::1]", "gate.example:444"),
            allowed_origins=origins,
        ),
        tracing=tracing,
    )
    return Harness(ingress=ingress, callers=callers, leases=leases, meter=meter)


START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}


def body(text: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": text, "more_body": more}


async def echo(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
    """Answer with what was received."""
    del scope, call
    text = b""

    while (message := await receive())["type"] == "http.request":
        text += message["body"]

        if not message["more_body"]:
            break

    await send(START)
    await send(body(text))


def one_route(
    handler: Handler = echo,
    *,
    method: str = "POST",
    path: str = "/do",
    is_public: bool = False,
    server_param: str | None = None,
    body_limit: int | None = None,
    origins: tuple[str, ...] = (),
    tracing: Tracing | None = None,
) -> Harness:
    """Build an ingress with one route."""
    route = IngressRoute(
        method=method,
        path=path,
        permission=PUBLIC if is_public else "llm.invoke",
        handler=handler,
        errors=OPENAI,
        server_param=server_param,
        body_limit=body_limit,
    )
    prefixes = (IngressPrefix(prefix="/mcp", errors=JSON_RPC),)
    return make_harness(
        RouteSource(owner="sample", routes=[route], prefixes=prefixes),
        origins=origins,
        tracing=tracing,
    )


def error_code(text: bytes) -> str:
    return str(json.loads(text)["error"]["code"])
