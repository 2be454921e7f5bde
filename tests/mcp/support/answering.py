"""A client that answers what it is asked, and keeps what it was asked and told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import mcp_types as types
from pydantic import FileUrl

if TYPE_CHECKING:
    from mcp.client.session import ClientRequestContext


@dataclass
class Answering:
    """The callbacks of an SDK client."""

    action: Any = "accept"
    content: dict[str, Any] = field(default_factory=lambda: {"name": "Ada"})
    asked: list[Any] = field(default_factory=list[Any])
    logged: list[Any] = field(default_factory=list[Any])
    progress: list[tuple[float, float | None, str | None]] = field(
        default_factory=list[tuple[float, float | None, str | None]]
    )

    def options(self, *names: str) -> dict[str, Any]:
        """Return the callbacks; `names` are those it has, all by default."""
        callbacks: dict[str, Any] = {
            "elicitation_callback": self.elicit,
            "sampling_callback": self.sample,
            "list_roots_callback": self.roots,
        }
        kept = {name: callbacks[f"{name}_callback"] for name in names}
        chosen = {f"{name}_callback": value for name, value in kept.items()} or callbacks
        return {**chosen, "logging_callback": self.log}

    async def elicit(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        self.asked.append(params)

        if isinstance(params, types.ElicitRequestURLParams):
            return types.ElicitResult(action=self.action)

        return types.ElicitResult(action=self.action, content=self.content)

    async def sample(
        self, context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult:
        self.asked.append(params)
        return types.CreateMessageResult(
            role="assistant", content=types.TextContent(text="a dream"), model="m"
        )

    async def roots(self, context: ClientRequestContext) -> types.ListRootsResult:
        self.asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri=FileUrl("file:///tmp"))])

    async def log(self, params: types.LoggingMessageNotificationParams) -> None:
        self.logged.append((params.level, params.data, params.logger))

    async def hear(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, total, message))
