"""A host over a real core in this process, for modules that a test makes up."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from spindle.config import load_settings
from spindle.core import Core
from spindle.host import Host, HostOptions
from spindle.ingress.app import IngressSettings
from spindle.lifecycle import Timings
from spindle.loader import LoadedModule
from tests.core.ingress.support import Answer, Harness
from tests.support.databases import store_environ

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from spindle_spi.module import Module

QUICK = Timings(
    start_seconds=0.3, stop_seconds=0.3, first_backoff=0.05, max_backoff=0.05, settled_after=0.0
)


@dataclass(slots=True)
class Rig:
    """A host, what it ran under, and what would have ended the process."""

    host: Host
    core: Core
    endings: list[str] = field(default_factory=list[str])

    async def ask(self, method: str, path: str) -> Answer:
        """Ask the host's ingress, without a credential."""
        leases, meter = self.core.leases, self.core.metrics
        gate = Harness(
            ingress=self.host.ingress,
            callers=self.core.identity,  # type: ignore[arg-type]
            leases=leases,  # type: ignore[arg-type]
            meter=meter,  # type: ignore[arg-type]
        )
        return await gate.ask(method, path, token=None)

    async def run(self, serve: Callable[[], Awaitable[None]]) -> None:
        with anyio.fail_after(20):
            await self.host.run(serve)


def loaded(kind: type[Module]) -> LoadedModule:
    module = kind()
    return LoadedModule(
        id=module.descriptor.module_id,
        distribution="samples 1.2",
        module=module,
        build=kind,
        spi_version="1.0",
    )


@asynccontextmanager
async def rig(
    home: Path, *kinds: type[Module], is_loopback: bool = False, timings: Timings = QUICK
) -> AsyncGenerator[Rig]:
    """Build a host over a real core; nothing runs yet."""
    core = await Core.open(load_settings(None, home=home, environ=await store_environ(home)))
    endings: list[str] = []
    options = HostOptions(
        ingress=IngressSettings(body_limit=1000, allowed_hosts=("127.0.0.1",)),
        section=lambda name: {"word": f"hello {name}"},
        is_loopback=is_loopback,
        drain_seconds=0.3,
        timings=timings,
        end_process=endings.append,
    )
    yield Rig(Host(core, [loaded(kind) for kind in kinds], options), core, endings)
