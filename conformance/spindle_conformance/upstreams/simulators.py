"""Every simulated upstream by the name of its dialect, for the command line and for tests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from spindle_conformance.upstreams.anthropic import AnthropicSimulator
from spindle_conformance.upstreams.azure_openai import AzureOpenAISimulator
from spindle_conformance.upstreams.cortexso import CortexSimulator
from spindle_conformance.upstreams.gpt4all import GPT4AllSimulator
from spindle_conformance.upstreams.jan import JanSimulator
from spindle_conformance.upstreams.lm_studio import LMStudioSimulator
from spindle_conformance.upstreams.localai import LocalAISimulator
from spindle_conformance.upstreams.ollama import OllamaSimulator
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_conformance.upstreams.openrouter import OpenRouterSimulator
from spindle_conformance.upstreams.server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from spindle_conformance.upstreams.simulator import Quirk, SimulatorMaker

SIMULATORS: Mapping[str, SimulatorMaker] = {
    "openai": OpenAISimulator,
    "anthropic": AnthropicSimulator,
    "ollama": OllamaSimulator,
    "lm_studio": LMStudioSimulator,
    "jan": JanSimulator,
    "gpt4all": GPT4AllSimulator,
    "localai": LocalAISimulator,
    "cortexso": CortexSimulator,
    "openrouter": OpenRouterSimulator,
    "azure_openai": AzureOpenAISimulator,
}


def simulator(
    dialect: str, *, key: str | None = None, chunk: int = 0, quirks: Iterable[Quirk] = ()
) -> ScriptedServer:
    """Return a server that plays a vendor; it listens once its `serve` runs, see `serving`.

    Args:
        dialect: One of `SIMULATORS`.
        key: The credential it insists on; by default anybody may come.
        chunk: Bytes for each write; 0 is all.
        quirks: What it does in general.
    """
    made = SIMULATORS[dialect](key=key, quirks=set(quirks))
    return ScriptedServer(handler=made.answer, chunk=chunk)


@asynccontextmanager
async def serving(server: ScriptedServer) -> AsyncGenerator[str]:
    """Serve on a free loopback port until the block ends; yields the address, without a path."""
    addresses: list[str] = []
    ready = anyio.Event()

    def announce(url: str) -> None:
        addresses.append(url)
        ready.set()

    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, 0, announce)
        await ready.wait()
        yield addresses[0]
        group.cancel_scope.cancel()
