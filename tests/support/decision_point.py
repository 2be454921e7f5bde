"""A policy decision point that speaks AuthZEN, with knobs for everything it may do wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from tests.support.http_server import Answered, Asked, serve_http

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@dataclass(slots=True)
class FakeDecisionPoint:
    """Answers `decide(question)`; `raw` instead of it, when set."""

    url: str = ""
    decide: Callable[[dict[str, Any]], bool] = field(default=lambda question: True)
    raw: Answered | None = None
    hold: anyio.Event | None = None
    """Answers wait for it."""
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    requests: list[Asked] = field(default_factory=list[Asked])

    async def answer(self, request: Asked) -> Answered:
        self.requests.append(request)
        question: dict[str, Any] = json.loads(request.body)
        self.asked.append(question)

        if self.hold is not None:
            await self.hold.wait()

        if self.raw is not None:
            return self.raw

        return Answered(body=json.dumps({"decision": self.decide(question)}).encode())


@asynccontextmanager
async def decision_point() -> AsyncGenerator[FakeDecisionPoint]:
    """Serve one on a loopback port."""
    point = FakeDecisionPoint()

    async with serve_http(point.answer) as url:
        point.url = url
        yield point
