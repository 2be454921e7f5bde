"""The host: brings the core and its modules up, keeps them apart, and brings them down in order.

It serves no socket (see `server.py`) and decides nothing about a request (see `ingress/app.py`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import anyio
import structlog

from spindle.ingress.app import Ingress, IngressSettings
from spindle.ingress.bounds import Doorkeeper
from spindle.ingress.core_routes import core_routes
from spindle.ingress.measures import Meter
from spindle.ingress.routes import CORE, RouteSource, RouteTable
from spindle.lifecycle import Supervisor, Timings
from spindle.watchdog import end_process, watchdog
from spindle_spi.loopback import CallCounter, invoke_module, loopback
from spindle_spi.module import HealthState, Module, ModuleContext
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from spindle.ingress.ports import Callers, OpenLeases
    from spindle.ingress.routes import Mount
    from spindle.invocations import CallOwner
    from spindle.loader import LoadedModule
    from spindle.refusals import Refusals
    from spindle.telemetry.spans import Tracing
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.ingress import Call, IngressRoute
    from spindle_spi.invocation import Invocation, ProgressSink, Result
    from spindle_spi.module import Spawn
    from spindle_spi.services import Services
    from spindle_spi.types import Scope

_LOG = structlog.get_logger("spindle.host")
_GRACE_SECONDS = 2.0
"""What a bounded wait may take longer before the watchdog ends the process."""

SPI_CALLS = "spindle_spi_calls_total"


class StartFailed(Exception):
    """The host cannot serve; one sentence per module that did not become ready."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class Measures(Meter, Protocol):
    """The core's metrics."""

    def count(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add to a counter."""
        ...

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Show a gauge."""
        ...

    def render(self) -> bytes:
        """Return everything as text."""
        ...


class OwnerCalls(Protocol):
    """Where the core keeps how a record's owner is reached; `spindle.invocations.Invoker`."""

    call_owner: CallOwner


class CoreParts(Protocol):
    """What the host needs of the core; `spindle.core.Core` is it."""

    owners: dict[str, Module]

    @property
    def identity(self) -> Callers:
        """Who calls."""
        ...

    @property
    def leases(self) -> OpenLeases:
        """What requests leave open."""
        ...

    @property
    def metrics(self) -> Measures:
        """What is counted."""
        ...

    @property
    def tracing(self) -> Tracing | None:
        """What traces requests, if anything does."""
        ...

    @property
    def refusals(self) -> Refusals:
        """Who hears of refused requests."""
        ...

    @property
    def invoker(self) -> OwnerCalls:
        """How owners are reached."""
        ...

    def services_for(self, module_id: str, section: str | None = None) -> Services:
        """Return the six services for one module."""
        ...

    def routes(self) -> Sequence[IngressRoute]:
        """Return the routes of the control plane."""
        ...

    @property
    def is_store_available(self) -> bool:
        """Whether the database was there when it was last needed."""
        ...

    async def run(self) -> None:
        """Do the core's own work until cancelled."""
        ...

    async def close(self) -> None:
        """Flush and close."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """What the operator decides about the host, without the rest of the settings."""

    ingress: IngressSettings
    section: Callable[[str], JsonObject]
    """Returns a module's own section of the configuration."""
    environment: str = "development"
    is_loopback: bool = False
    """Reach the services over bytes: see `spindle_spi.loopback`."""
    metrics_on_loopback: bool = False
    drain_seconds: float = 10.0
    keep_alive_seconds: float = 75.0
    door: Doorkeeper = field(default_factory=Doorkeeper)
    """What connections are bounded by."""
    timings: Timings = Timings()
    end_process: Callable[[str], None] = end_process


class Host:
    """One process's modules around one core."""

    def __init__(
        self, core: CoreParts, modules: Sequence[LoadedModule], options: HostOptions
    ) -> None:
        self.options = options
        self._core = core
        self._counter = CallCounter()
        self._start_faults: tuple[str, ...] = ()
        self._shown: Counter[tuple[str, str]] = Counter()
        self._supervisors = [Supervisor(module, self, options.timings) for module in modules]
        routes = (
            *core_routes(self, metrics_on_loopback=options.metrics_on_loopback),
            *core.routes(),
        )
        self.table = RouteTable(
            [RouteSource(owner=CORE, routes=routes), *(module.source() for module in modules)]
        )
        self.ingress = Ingress(
            table=self.table,
            callers=core.identity,
            leases=core.leases,
            meter=core.metrics,
            settings=options.ingress,
            tracing=core.tracing,
        )
        self.ingress.refusals = core.refusals
        core.metrics.watch("spindle_http_requests_active", lambda: float(self.ingress.active))

        if options.is_loopback:
            core.invoker.call_owner = self._call_owner_over_bytes

    async def run(self, serve: Callable[[], Awaitable[None]]) -> None:
        """Start every module, call `serve`, and bring everything down when it returns.

        Raises:
            StartFailed: Some modules did not become ready; `serve` was not called.
        """
        async with anyio.create_task_group() as group:
            group.start_soon(self._core.run)

            try:
                for supervisor in self._supervisors:
                    group.start_soon(supervisor.run)

                await self._wait_for_modules()
                await serve()
            except StartFailed as exc:
                self._start_faults = exc.faults
            finally:
                with anyio.CancelScope(shield=True):
                    await self._stop()

                group.cancel_scope.cancel()

        if self._start_faults:
            raise StartFailed(self._start_faults)

    async def drain(self, seconds: float) -> None:
        """Refuse new requests and let everything in flight finish, for so many seconds."""
        deadline = time.monotonic() + seconds

        async with anyio.create_task_group() as group:
            for supervisor in self._supervisors:
                group.start_soon(supervisor.drain, deadline)

            with anyio.move_on_after(seconds):
                await self.ingress.drain()

    async def module_states(self) -> Mapping[str, HealthState]:
        """Return how each module is."""
        return {supervisor.loaded.id: await supervisor.health() for supervisor in self._supervisors}

    @property
    def is_store_available(self) -> bool:
        """Whether the database was there when it was last needed."""
        return self._core.is_store_available

    def render_metrics(self) -> bytes:
        """Return every measure as text, the calls over the transport among them."""
        for (service, operation), number in self._counter.calls.items():
            new = number - self._shown[service, operation]
            labels = {"service": service, "operation": operation}
            self._core.metrics.count(SPI_CALLS, float(new), labels)

        self._shown = Counter(self._counter.calls)
        return self._core.metrics.render()

    def authorise(self, scope: Scope, call: Call, permission: str) -> None:
        """Check a permission of a public route's caller, or raise."""
        self.ingress.authorise(scope, call, permission)

    def mounts(self) -> Sequence[Mount]:
        """Return every route that is served."""
        return self.table.mounts

    def context_for(self, loaded: LoadedModule, spawn: Spawn) -> ModuleContext:
        """Return what a module gets at initialisation."""
        services = self._core.services_for(loaded.id, loaded.section)

        if self.options.is_loopback:
            services = loopback(services, self._counter)

        return ModuleContext(
            services=services,
            config=self.options.section(loaded.section),
            spi_version=loaded.spi_version,
            environment=self.options.environment,
            spawn=spawn,
        )

    def come_up(self, loaded: LoadedModule, module: Module) -> None:
        """Give an instance the module's routes and records."""
        self.table.resume(loaded.id, module.routes)
        self._core.owners[loaded.id] = module

    def go_down(self, loaded: LoadedModule) -> None:
        """Let a module's routes answer 503 and its records have no owner."""
        self.table.suspend(loaded.id)
        self._core.owners.pop(loaded.id, None)

    async def _wait_for_modules(self) -> None:
        limit = self.options.timings.start_seconds + _GRACE_SECONDS
        end = self.options.end_process

        # A module that resists its cancellation settles nothing; one that blocks, stops this too.
        with (
            watchdog(limit + _GRACE_SECONDS, self._explain_start, end),
            anyio.move_on_after(limit),
        ):
            for supervisor in self._supervisors:
                await supervisor.settled.wait()

        faults = [
            f"{_name(supervisor)}: {supervisor.failure or self._unready(supervisor)}"
            for supervisor in self._supervisors
            if supervisor.state is not HealthState.READY
        ]

        if faults:
            raise StartFailed(faults)

    def _explain_start(self) -> str:
        return "\n".join(
            f"{_name(supervisor)}: {self._unready(supervisor)}"
            for supervisor in self._supervisors
            if supervisor.state is not HealthState.READY
        )

    def _unready(self, supervisor: Supervisor) -> str:
        seconds = self.options.timings.start_seconds
        return f"did not become ready within {seconds:g} seconds (phase {supervisor.phase})"

    async def _stop(self) -> None:
        """Shut the modules down, then the core: what they settle at the end is still written."""
        seconds = self.options.timings.stop_seconds

        with watchdog(seconds + _GRACE_SECONDS, self._explain_stop, self.options.end_process):
            for supervisor in self._supervisors:
                supervisor.stop()

            with anyio.move_on_after(seconds):
                for supervisor in self._supervisors:
                    await supervisor.ended.wait()

        await self._core.close()
        stuck = [each for each in self._supervisors if not each.ended.is_set()]

        if stuck:
            # Their tasks do not end, so the task group would not either.
            self.options.end_process(self._explain_stop())

    def _explain_stop(self) -> str:
        seconds = self.options.timings.stop_seconds
        stuck = [
            f"{_name(supervisor)}: did not shut down within {seconds:g} seconds (phase shutdown)"
            for supervisor in self._supervisors
            if not supervisor.ended.is_set()
        ]
        return "\n".join([*self._start_faults, *stuck])

    async def _call_owner_over_bytes(
        self,
        module: Module,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None,
    ) -> Result:
        return await invoke_module(module, context, invocation, progress, self._counter)


def _name(supervisor: Supervisor) -> str:
    return f"module {supervisor.loaded.id} ({supervisor.loaded.distribution})"
