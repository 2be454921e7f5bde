"""One module's life: initialise, run, restart after a failure, drain, shut down.

Each module runs in one task of the host's group; what goes wrong in it stays in it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeGuard

import anyio
import structlog

from spindle.loader import check_instance
from spindle_spi.errors import ContractViolation, GatewayError
from spindle_spi.module import HealthState, ModuleContext

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle.loader import LoadedModule
    from spindle_spi.module import Module, Spawn

_LOG = structlog.get_logger("spindle.lifecycle")
_HEALTH_SECONDS = 1.0
"""A module's own word on its health must come at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How long the host waits for a module."""

    start_seconds: float = 20.0
    stop_seconds: float = 5.0
    first_backoff: float = 0.5
    """Seconds before the first restart; doubled for each further one."""
    max_backoff: float = 30.0
    settled_after: float = 60.0
    """A module that ran this long begins again with the first backoff."""


class Surroundings(Protocol):
    """What a module's life changes outside of it."""

    def context_for(self, loaded: LoadedModule, spawn: Spawn) -> ModuleContext:
        """Return what the module gets at initialisation."""
        ...

    def come_up(self, loaded: LoadedModule, module: Module) -> None:
        """Give this instance the module's routes and records."""
        ...

    def go_down(self, loaded: LoadedModule) -> None:
        """Let the module's routes answer 503."""
        ...


class Supervisor:
    """Runs one module from its first initialisation to its shutdown."""

    def __init__(self, loaded: LoadedModule, surroundings: Surroundings, timings: Timings) -> None:
        self.loaded = loaded
        self.module = loaded.module
        self.phase = "initialize"
        self.state = HealthState.FAILED
        self.failure: str | None = None
        """Why its first start failed."""
        self.settled = anyio.Event()
        """Set when its first start has ended, one way or the other."""
        self.ended = anyio.Event()
        """Set when it has shut down."""
        self._surroundings = surroundings
        self._timings = timings
        self._scope = anyio.CancelScope()
        self._up_since = math.inf

    async def run(self) -> None:
        """Live until `stop`, restarting after failures; return at once if the first start fails."""
        try:
            with self._scope:
                await self._live()
        finally:
            self.settled.set()
            self.ended.set()

    def stop(self) -> None:
        """Begin the shutdown; `ended` tells when it is over."""
        self.phase = "shutdown"
        self.state = HealthState.DRAINING
        self._scope.cancel()

    async def drain(self, deadline: float) -> None:
        """Let the module finish what is in flight; bounded by the deadline, whatever it does."""
        if self.state is not HealthState.READY:
            return

        self.phase = "drain"
        self.state = HealthState.DRAINING

        with anyio.move_on_after(max(0.0, deadline - time.monotonic())) as scope:
            try:
                await self.module.drain(deadline)
            except Exception:  # noqa: BLE001 - the edge to a module's code
                _LOG.exception("drain failed", module=self.loaded.id)

        if scope.cancelled_caught:
            _LOG.warning("drain not finished in time", module=self.loaded.id)

    async def health(self) -> HealthState:
        """Return how the module is, by the host's knowledge first and its own word second."""
        if self.state is not HealthState.READY:
            return self.state

        try:
            with anyio.fail_after(_HEALTH_SECONDS):
                return (await self.module.health()).state
        except Exception:  # noqa: BLE001 - the edge to a module's code
            _LOG.exception("health check failed", module=self.loaded.id)
            return HealthState.FAILED

    async def _live(self) -> None:
        delay = self._timings.first_backoff

        while True:
            try:
                await self._live_once()
            except Exception as exc:  # noqa: BLE001 - the edge to a module's code
                if not self.settled.is_set():
                    self.failure = f"{describe(exc)} (phase {self.phase})"
                    _LOG.debug("module not started", module=self.loaded.id, exc_info=exc)
                    return

                if self._scope.cancel_called:
                    return

                self._fall(exc)

            if anyio.current_time() - self._up_since >= self._timings.settled_after:
                delay = self._timings.first_backoff

            await anyio.sleep(delay)
            delay = min(delay * 2, self._timings.max_backoff)

    async def _live_once(self) -> None:
        """Run one instance until it fails; it always does, or this is cancelled."""
        self._up_since = math.inf
        seconds = self._timings.start_seconds
        module = self._instance()

        with anyio.CancelScope(deadline=anyio.current_time() + seconds) as scope:

            def start() -> None:
                scope.deadline = math.inf
                self._rise(module)

            async with anyio.create_task_group() as group:

                def spawn(name: str, work: Callable[[], Awaitable[None]]) -> None:
                    group.start_soon(self._work, name, work)

                context = self._surroundings.context_for(self.loaded, spawn)
                await self._work("run", lambda: module.run(context, start))
                group.cancel_scope.cancel()

        if scope.cancelled_caught:
            raise ContractViolation(f"did not become ready within {seconds:g} seconds")

        raise ContractViolation("returned from run before shutdown")

    def _instance(self) -> Module:
        if not self.settled.is_set():
            return self.module

        module = self.loaded.build()
        faults = check_instance(module, self.loaded.id)

        if faults:
            raise ContractViolation("; ".join(faults))

        self.phase = "initialize"
        return module

    async def _work(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except SystemExit as exc:
            # Let through, it would end the whole process from inside one module.
            raise ContractViolation(f"tried to end the process (in {name})") from exc
        except Exception:
            _LOG.debug("module work failed", module=self.loaded.id, work=name)
            raise

    def _rise(self, module: Module) -> None:
        if self.state is HealthState.READY:
            raise ContractViolation("called started twice")

        if self.phase != "initialize":
            return

        self._surroundings.come_up(self.loaded, module)
        self.module = module
        self.phase = "ready"
        self.state = HealthState.READY
        self._up_since = anyio.current_time()
        self.settled.set()

    def _fall(self, exc: BaseException) -> None:
        self.state = HealthState.FAILED
        self._surroundings.go_down(self.loaded)
        _LOG.error(
            "module failed",
            module=self.loaded.id,
            phase=self.phase,
            reason=describe(exc),
            exc_info=exc,
        )


def describe(exc: BaseException) -> str:
    """Return an error as one line: its own words, or those of everything in a group."""
    if _is_group(exc):
        return "; ".join(dict.fromkeys(describe(inner) for inner in exc.exceptions))

    if isinstance(exc, GatewayError):
        return exc.message

    text = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _is_group(exc: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(exc, BaseExceptionGroup)
