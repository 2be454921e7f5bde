"""A client as an upstream's connection sees it: what it was asked and told, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from spindle_spi.invocation import Progress


@dataclass
class Told:
    """Answers whatever it is asked, after a while."""

    answer: JsonObject = field(default_factory=dict[str, Json])
    seconds: float = 0.0
    key: str = "session:1"
    is_session: bool = True
    can_be_asked: bool = True
    capabilities: JsonObject = field(default_factory=dict[str, Json])
    log_level: str | None = "debug"
    asked: list[str] = field(default_factory=list[str])
    logged: list[JsonObject] = field(default_factory=list[JsonObject])
    steps: list[float] = field(default_factory=list[float])

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        self.steps.append(update.progress)

    async def log(self, params: JsonObject) -> None:
        """See `Peer`."""
        self.logged.append(params)

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """See `Peer`."""
        del params
        self.asked.append(method)
        await anyio.sleep(self.seconds)
        return self.answer

    async def completed(self, link: str) -> None:
        """See `Peer`."""
        self.asked.append(f"completed {link}")
