"""The control plane of a real core, asked as an ASGI application."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle.ingress.app import Ingress, IngressSettings
from spindle.ingress.routes import RouteSource, RouteTable
from tests.core.ingress.support import HOST, Harness

if TYPE_CHECKING:
    from spindle.core import Core
    from spindle_spi.types import JsonObject
    from tests.core.ingress.support import Answer

BASE = "/admin/api/v1/plugins"


@dataclass(frozen=True, slots=True)
class Plane:
    """Asks the control plane with one token."""

    harness: Harness
    token: str

    async def ask(
        self, method: str, path: str, body: object = None, *, match: str | None = None
    ) -> Answer:
        """Send a request below `plugins`."""
        tag = () if match is None else ((b"if-match", match.encode()),)
        data = b"" if body is None else json.dumps(body).encode()
        return await self.harness.ask(
            method, f"{BASE}{path}", token=self.token, headers=(HOST, *tag), chunks=(data,)
        )


def plane(core: Core, token: str) -> Plane:
    """Mount the routes of a core."""
    leases, meter = core.leases, core.metrics
    ingress = Ingress(
        table=RouteTable([RouteSource(owner="core", routes=[*core.routes()])]),
        callers=core.identity,
        leases=leases,
        meter=meter,
        settings=IngressSettings(
            body_limit=100_000, allowed_hosts=("127.0.0.1",), allowed_origins=()
        ),
    )
    harness = Harness(
        ingress=ingress,
        callers=core.identity,  # type: ignore[arg-type]
        leases=leases,  # type: ignore[arg-type]
        meter=meter,  # type: ignore[arg-type]
    )
    return Plane(harness, token)


def read(answer: Answer) -> JsonObject:
    """Return the body of an answer."""
    body: JsonObject = json.loads(answer.body)
    return body
