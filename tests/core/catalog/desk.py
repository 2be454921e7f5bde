"""A core with its control plane, asked over its real ingress by callers of two teams."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spindle.core import Core
from spindle.ingress.app import Ingress, IngressSettings
from spindle.ingress.routes import RouteSource, RouteTable
from spindle_spi.records import (
    Kind,
    ModelSpec,
    PromptSpec,
    PublishedRecord,
    ResourceSpec,
    ResourceTemplateSpec,
    ToolSpec,
)
from tests.core.heart import Heart, open_heart
from tests.core.ingress.support import HOST, Answer, Harness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle.config import Settings
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject

EXTRA = """
egress: {allowed_hosts: ["127.0.0.1"]}
"""
LOCAL = "http://127.0.0.1:9/v1"


@dataclass(slots=True)
class Told:
    """An answer of the control plane."""

    status: int
    headers: dict[bytes, bytes]
    raw: bytes

    @property
    def data(self) -> JsonObject:
        """The body as an object."""
        value: JsonObject = json.loads(self.raw)
        return value

    @property
    def code(self) -> str:
        """The code of an error."""
        error = self.data["error"]
        assert isinstance(error, dict)
        return str(error["code"])

    @property
    def message(self) -> str:
        """The message of an error."""
        error = self.data["error"]
        assert isinstance(error, dict)
        return str(error["message"])

    @property
    def etag(self) -> str:
        """The tag of what it shows."""
        return self.headers[b"etag"].decode()

    @property
    def names(self) -> list[str]:
        """The names in a page."""
        items = self.data["items"]
        assert isinstance(items, list)
        return [str(item["name"]) for item in items if isinstance(item, dict)]


@dataclass(slots=True)
class Desk:
    """The control plane, and tokens for it: `root`, and two administrators of teams."""

    heart: Heart
    gate: Harness
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def core(self) -> Core:
        """What is governed."""
        return self.heart.core

    async def ask(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        by: str = "root",
        match: str | None = None,
        raw: bytes | None = None,
    ) -> Told:
        """Ask as somebody; paths without a first `/` are of the admin API."""
        where = path if path.startswith("/") else f"/admin/api/v1/{path}"
        headers = [HOST, (b"content-type", b"application/json")]

        if match is not None:
            headers.append((b"if-match", match.encode()))

        where, _, query = where.partition("?")
        sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        answer: Answer = await self.gate.ask(
            method,
            where,
            token=self.tokens[by],
            headers=tuple(headers),
            chunks=(sent,),
            query=query.encode(),
        )
        return Told(answer.status, answer.headers, answer.body)

    async def make(self, path: str, body: JsonObject, *, by: str = "root") -> JsonObject:
        """Create a record, which has to work."""
        told = await self.ask("POST", path, body, by=by)
        assert told.status == 201, told.raw
        return told.data

    def record(self, kind: Kind, name: str) -> CatalogRecord | None:
        """Return a record as the request path has it."""
        return self.core.snapshots.current.by_name.get((kind, name))


@asynccontextmanager
async def open_desk(home: Path, extra: str = "") -> AsyncGenerator[Desk]:
    """Open a core and its control plane, with a platform's and two teams' administrators."""
    async with open_heart(home, EXTRA + extra) as heart:
        yield await _seated(heart)


@asynccontextmanager
async def desk_over(settings: Settings) -> AsyncGenerator[Desk]:
    """Open a control plane over settings of the test's own."""
    core = await Core.open(settings)

    try:
        yield await _seated(Heart(core))
    finally:
        await core.close()


async def _seated(heart: Heart) -> Desk:
    core = heart.core
    ingress = Ingress(
        table=RouteTable([RouteSource(owner="core", routes=core.routes())]),
        callers=core.identity,
        leases=core.leases,
        meter=core.metrics,
        settings=IngressSettings(body_limit=1_000_000, allowed_hosts=("127.0.0.1",)),
    )
    gate = Harness(
        ingress=ingress,
        callers=core.identity,  # type: ignore[arg-type]
        leases=core.leases,  # type: ignore[arg-type]
        meter=core.metrics,  # type: ignore[arg-type]
    )
    desk = Desk(heart, gate)
    desk.tokens["root"] = await heart.token(role="platform_admin", admin=True)

    for team in ("red", "blue"):
        desk.tokens[team] = await heart.token(
            team, role="team_admin", user_email=f"{team}@example.org"
        )

    return desk


GATEWAY = "gateway:demo"


def publish_demo(core: Core, *tools: str) -> None:
    """Publish tools and one of everything else as the module of the demo gateway would."""
    core.snapshots.publish(
        "mcp",
        GATEWAY,
        [
            *(
                PublishedRecord(
                    kind=Kind.TOOL,
                    name=f"demo__{tool}",
                    description="As published.",
                    spec=ToolSpec(gateway="demo", upstream_name=tool),
                )
                for tool in tools or ("echo",)
            ),
            PublishedRecord(
                kind=Kind.RESOURCE,
                name="demo://a/b",
                spec=ResourceSpec(gateway="demo", uri="demo://a/b"),
            ),
            PublishedRecord(
                kind=Kind.RESOURCE_TEMPLATE,
                name="demo://{a}",
                spec=ResourceTemplateSpec(gateway="demo", uri_template="demo://{a}"),
            ),
            PublishedRecord(
                kind=Kind.PROMPT,
                name="demo__greet",
                spec=PromptSpec(gateway="demo", upstream_name="greet"),
            ),
        ],
    )


def publish_models(core: Core, *names: str) -> None:
    """Publish models as the module of the provider `up` would."""
    core.snapshots.publish(
        "llm",
        "provider:up",
        [
            PublishedRecord(
                kind=Kind.MODEL,
                name=f"up~{name}",
                spec=ModelSpec(provider="up", upstream_name=name, state="loaded"),
            )
            for name in names
        ],
    )
