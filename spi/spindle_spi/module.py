"""Module: the base class of everything that speaks a protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from spindle_spi.context import AuthenticatedContext
from spindle_spi.descriptor import FallbackStrategy, ModuleDescriptor
from spindle_spi.errors import Unsupported
from spindle_spi.ingress import IngressPrefix, IngressRoute
from spindle_spi.invocation import Invocation, ProgressSink, Result
from spindle_spi.secret import Secret
from spindle_spi.services import Services
from spindle_spi.types import Json, JsonObject


class HealthState(StrEnum):
    """How a module is."""

    READY = "ready"
    DEGRADED = "degraded"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A module's own word on its state, with details for operators."""

    state: HealthState
    message: str = ""
    details: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """A long-running operation the core's job service can run through `Module.perform`."""

    name: str
    entity: str
    parameters: JsonObject = field(default_factory=dict[str, Json])
    """JSON Schema of its parameters."""
    reports_progress: bool = False
    cancellable: bool = False


class Spawn(Protocol):
    """Starts work in the module's supervised group."""

    def __call__(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Start `work`; a failure is logged under `name` and fails the module."""
        ...


class Started(Protocol):
    """Tells the host that the module is ready: deny paths enforceable, warm-up done."""

    def __call__(self) -> None:
        """Call exactly once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleContext:
    """What a module gets at initialisation; never the whole process configuration."""

    services: Services
    config: JsonObject
    spi_version: str
    deployment: str = "embedded"
    environment: str = "development"
    spawn: Spawn
    fallback: FallbackStrategy = FallbackStrategy()
    """What the host does when the module cannot keep correctness."""
    trace_sample_rate: float = 0.0
    """Share of the calls without a `traceparent` of their own that are traced."""
    channel_token: Secret | None = None
    """Sidecars only: the key that context headers are sealed with."""


class Module(ABC):
    """One protocol family. The host runs it in one long-lived task and verifies it at load."""

    @property
    @abstractmethod
    def descriptor(self) -> ModuleDescriptor:
        """Who this is and what it can do; available before anything runs."""

    @property
    def config_schema(self) -> Mapping[str, Json]:
        """JSON Schema of the module's section, so that the core can name bad keys."""
        return {"type": "object", "additionalProperties": False}

    @property
    def routes(self) -> Sequence[IngressRoute]:
        """The routes it serves, each with its permission."""
        return ()

    @property
    def prefixes(self) -> Sequence[IngressPrefix]:
        """The parts of the path space whose unknown paths are answered in its shape."""
        return ()

    @property
    def actions(self) -> Sequence[ActionSpec]:
        """Its long-running operations."""
        return ()

    @abstractmethod
    async def run(self, context: ModuleContext, started: Started) -> None:
        """Live from initialisation to shutdown in one task; cancellation means shut down.

        Call `started` when ready. Returning before shutdown is a failure.
        """

    async def drain(self, deadline: float) -> None:
        """Finish what is in flight before `deadline` (monotonic); no new work arrives."""
        del deadline

    async def health(self) -> Health:
        """Tell how it is; must answer at once."""
        return Health(state=HealthState.READY)

    async def stats(self) -> JsonObject:
        """Return figures for operators; must answer at once."""
        return {}

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        """Serve a cross-protocol call on one of its records; admitted and hooked by the core.

        Raises:
            Unsupported: It serves no such calls.
            UpstreamError: The upstream failed.
        """
        del context, invocation, progress
        raise Unsupported("This module serves no calls from other protocols.")

    async def perform(
        self,
        context: AuthenticatedContext,
        action: str,
        parameters: JsonObject,
        progress: ProgressSink,
    ) -> JsonObject:
        """Run one of `actions` for the caller who asked; cancellation is task cancellation.

        Raises:
            Unsupported: No such action.
        """
        del context, parameters, progress
        raise Unsupported(f"This module has no action {action}.")
