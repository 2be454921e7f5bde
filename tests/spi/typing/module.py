"""What the author of a module writes; never run, only type-checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from spindle_spi import (
    PUBLIC,
    AuthenticatedContext,
    Call,
    GatewayError,
    IngressPrefix,
    IngressRoute,
    Module,
    ModuleContext,
    ModuleDescriptor,
    Services,
)
from spindle_spi.admission import Estimate, Outcome, Permit, Status, TokenUsage
from spindle_spi.catalog import CatalogService, RecordPage
from spindle_spi.errors import NotFound, Origin
from spindle_spi.invocation import (
    Complete,
    InputRequired,
    Invocation,
    Progress,
    ProgressSink,
    Result,
    StreamEvent,
    Streaming,
)
from spindle_spi.module import ActionSpec, Health, HealthState, Started
from spindle_spi.plugin import Lane, StreamGuard
from spindle_spi.policy import Action
from spindle_spi.records import Kind, ModelSpec, Target, ToolSpec
from spindle_spi.secret import Secret, SecretRef
from spindle_spi.shapes import OPENAI
from spindle_spi.types import Json, JsonObject, Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence


class AcmeModule(Module):
    """A module that uses everything a module may have."""

    @property
    def descriptor(self) -> ModuleDescriptor:
        return ModuleDescriptor(
            module_id="acme",
            protocol_family="a2a",
            module_version="0.1.0",
            capabilities={"ingress": True},
            serves=("agent",),
        )

    @property
    def config_schema(self) -> Mapping[str, Json]:
        return {"type": "object", "properties": {"timeout": {"type": "number", "minimum": 0}}}

    @property
    def routes(self) -> Sequence[IngressRoute]:
        return [
            IngressRoute(method="GET", path="/card", permission=PUBLIC, handler=self.answer),
            IngressRoute(
                method="POST",
                path="/agents/{name:path}",
                permission="agents.execute",
                handler=self.answer,
                errors=OPENAI,
            ),
        ]

    @property
    def prefixes(self) -> Sequence[IngressPrefix]:
        return [IngressPrefix(prefix="/agents", errors=OPENAI)]

    @property
    def actions(self) -> Sequence[ActionSpec]:
        return [ActionSpec(name="warm", entity="agent", cancellable=True)]

    async def run(self, context: ModuleContext, started: Started) -> None:
        self._services = context.services
        timeout = context.config.get("timeout")
        assert_type(timeout, Json)
        context.spawn("watch", self.watch)
        started()

    async def watch(self) -> None:
        async for change in self._services.catalog.subscribe([Kind.AGENT]):
            assert_type(change.record.epoch, int)

    async def answer(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        assert_type(call.context, AuthenticatedContext)
        assert_type(call.remaining(), float | None)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        if progress is not None:
            await progress(Progress(progress=1, total=2))

        if invocation.stream:
            return Streaming(self.events())

        if not invocation.responses:
            return InputRequired(requests={"name": {"type": "string"}}, state="sealed")

        return Complete(payload={"content": []}, usage=TokenUsage(output_tokens=3))

    async def events(self) -> AsyncIterator[StreamEvent]:
        yield StreamEvent(payload={"n": 1})

    async def perform(
        self,
        context: AuthenticatedContext,
        action: str,
        parameters: JsonObject,
        progress: ProgressSink,
    ) -> JsonObject:
        await progress(Progress(progress=0))
        return {"done": True}

    async def health(self) -> Health:
        return Health(state=HealthState.DEGRADED, details={"upstreams": 0})

    async def drain(self, deadline: float) -> None:
        return None

    async def stats(self) -> JsonObject:
        return {"calls": 1}


async def call_a_model(services: Services, call: Call) -> None:
    """A surface's way through the contract."""
    catalog: CatalogService = services.catalog
    target = Target(kind=Kind.MODEL, name="acme~large")
    page = await catalog.list(call.context, Kind.MODEL, limit=10)
    assert_type(page, RecordPage)
    permit = await catalog.admit(call.context, target, Action.EXECUTE, Estimate(input_bytes=10))
    assert_type(permit, Permit)
    assert_type(permit.secrets, tuple[SecretRef, ...])
    key = await services.config_secrets.secret(permit.secrets[0])
    assert_type(key, Secret)
    assert_type(key.reveal(), str)

    if isinstance(permit.record.spec, ModelSpec):
        assert_type(permit.record.spec.context_window, int | None)
    elif isinstance(permit.record.spec, ToolSpec):
        assert_type(permit.record.spec.input_schema, dict[str, Json])

    guard = await services.plugin.open_guard(call.context, permit.id)
    assert_type(guard, StreamGuard)
    assert_type(await guard.push(Lane(), "text"), str)
    await guard.finish()
    await catalog.settle(permit.id, Outcome(status=Status.OK))


async def call_a_tool(services: Services, call: Call) -> str:
    """A cross-protocol call, each form of result told apart."""
    invocation = Invocation(
        target=Target(kind=Kind.TOOL, name="add"), arguments={"a": 1}, depth=call.depth + 1
    )

    try:
        result = await services.catalog.invoke(call.context, invocation)
    except NotFound as exc:
        assert_type(exc.origin, Origin)
        raise GatewayError("no such tool", code="acme.tool", origin=Origin.MODULE) from exc

    match result:
        case Complete():
            assert_type(result.payload, JsonObject)
            return "complete"
        case InputRequired():
            assert_type(result.state, str | None)
            return "input"
        case Streaming():
            await result.close()
            return "stream"
