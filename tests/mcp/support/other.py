"""A module of another protocol, as far as a call across protocols sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_spi.invocation import Complete, InputRequired, Invocation, Progress, ProgressSink
from spindle_spi.module import Module
from spindle_spi.records import Kind

if TYPE_CHECKING:
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.descriptor import ModuleDescriptor
    from spindle_spi.invocation import Result
    from spindle_spi.module import ModuleContext, Started
    from spindle_spi.types import Json


class Other(Module):
    """Serves tools, resources and prompts for other modules' sake; a tool's name says how."""

    @property
    def descriptor(self) -> ModuleDescriptor:
        raise NotImplementedError

    async def run(self, context: ModuleContext, started: Started) -> None:
        raise NotImplementedError

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        if invocation.target.name == "asks":
            return InputRequired(requests={"folders": {"method": "roots/list"}})

        if invocation.target.name == "breaks":
            raise RuntimeError("a secret of ours")

        if invocation.target.kind is Kind.RESOURCE:
            return Complete(payload={"contents": [{"uri": "a://b", "text": "said"}]})

        if invocation.target.kind is Kind.PROMPT:
            content: Json = {"type": "text", "text": "said"}
            return Complete(payload={"messages": [{"role": "user", "content": content}]})

        if progress is not None:
            await progress(Progress(progress=1))

        parts: Json = [{"type": "text", "text": "done"}]
        return Complete(payload={"content": parts, "structuredContent": {}})
