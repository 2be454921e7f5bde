"""The loopback transport: the whole contract over bytes, with nothing shared and all counted."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, get_type_hints

import pytest

from spindle_spi.annotations import is_dataclass, options_of, origin_of
from spindle_spi.auth import AuthPolicyService
from spindle_spi.catalog import CatalogService, RecordChange
from spindle_spi.config_secrets import ConfigSecretsService
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import (
    ContractViolation,
    NotFound,
    Origin,
    PluginDenied,
    Unsupported,
    UpstreamError,
)
from spindle_spi.invocation import (
    Complete,
    InputRequired,
    Invocation,
    Progress,
    ProgressSink,
    Result,
    StreamEvent,
    Streaming,
    close_iterator,
)
from spindle_spi.loopback import CallCounter, invoke_module, loopback
from spindle_spi.module import Module
from spindle_spi.noop import (
    NoOpCatalog,
    NoOpConfigSecrets,
    NoOpGuard,
    NoOpPlugin,
    noop_services,
)
from spindle_spi.observability import ObservabilityService
from spindle_spi.plugin import Lane, PluginService, Segment, StreamGuard
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from spindle_spi.services import Services
from spindle_spi.session_event import SessionEventService
from tests.spi.derived import sample_of, settled

CONTRACTS: dict[str, type[object]] = {
    "auth": AuthPolicyService,
    "catalog": CatalogService,
    "plugin": PluginService,
    "session_event": SessionEventService,
    "config_secrets": ConfigSecretsService,
    "observability": ObservabilityService,
}
OPERATIONS = [
    (service, operation)
    for service, contract in CONTRACTS.items()
    for operation, _ in inspect.getmembers(contract, inspect.isfunction)
    if not operation.startswith("_")
]
CONTEXT: AuthenticatedContext = sample_of(AuthenticatedContext)
INVOCATION = Invocation(target=Target(kind=Kind.TOOL, name="echo"), arguments={"text": "hi"})
DENIED = PluginDenied("no", code="plugin.pii.card", origin=Origin.PLUGIN)


@dataclass
class Recorder:
    """The far side: keeps what arrived, answers with a sample of what is declared."""

    arrived: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def services(self) -> Services:
        fakes = {name: self._fake(contract) for name, contract in CONTRACTS.items()}
        return Services(**fakes)

    def _fake(self, contract: type[object]) -> Any:
        members = {
            operation: self._answering(member)
            for operation, member in inspect.getmembers(contract, inspect.isfunction)
            if not operation.startswith("_")
        }
        return type("Fake", (contract,), members)()

    def _answering(self, declared: Callable[..., Any]) -> Callable[..., Any]:
        signature, kind = inspect.signature(declared), get_type_hints(declared)["return"]

        def answer(*arguments: Any, **options: Any) -> Any:
            bound = signature.bind(*arguments, **options)
            self.arrived.append(dict(list(bound.arguments.items())[1:]))
            return answer_of(kind)

        async def answer_later(*arguments: Any, **options: Any) -> Any:
            return answer(*arguments, **options)

        return answer_later if inspect.iscoroutinefunction(declared) else answer


def answer_of(kind: Any) -> Any:
    """Return a sample of a declared answer, or a live object where one is declared."""
    if kind is StreamGuard:
        return NoOpGuard()

    if origin_of(kind) is AsyncIterator:
        return Items([sample_of(kind.__args__[0])] * 2)

    return None if kind is type(None) else sample_of(kind)


class Items(AsyncIterator[Any]):
    """A stream of given items; an error among them is raised."""

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = list(items)
        self.is_closed = False

    async def __anext__(self) -> Any:
        if not self._items:
            raise StopAsyncIteration

        item = self._items.pop(0)

        if isinstance(item, Exception):
            raise item

        return item

    async def aclose(self) -> None:
        self.is_closed = True


class Owner(Module):
    """A module whose calls have a given result, or a given error."""

    def __init__(self, result: Result | Exception) -> None:
        self._result = result
        self.received: list[Any] = []

    @property
    def descriptor(self) -> Any:
        raise NotImplementedError

    async def run(self, context: object, started: object) -> None:
        raise NotImplementedError

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        self.received += [context, invocation]

        if progress is not None:
            await progress(Progress(progress=0.5, total=1))

        if isinstance(self._result, Exception):
            raise self._result

        return self._result


class Handing(NoOpCatalog):
    """Hands every call to one owner."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        return await self._owner.invoke(context, invocation, progress)


def invoking(result: Result | Exception) -> tuple[Services, Owner]:
    """Return services over bytes whose catalog hands every call to one owner."""
    owner = Owner(result)

    return loopback(replaced(catalog=Handing(owner)), CallCounter()), owner


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
async def test_every_operation_goes_over_bytes_and_is_counted(service: str, operation: str) -> None:
    """What arrives equals what was sent and shares no object with it; so does the answer."""
    far, counter = Recorder(), CallCounter()
    near = loopback(far.services(), counter)
    declared = getattr(CONTRACTS[service], operation)
    hints = get_type_hints(declared)
    returns = hints.pop("return")
    sent = {
        name: sample_of(kind)
        for name, kind in hints.items()
        if ProgressSink not in options_of(kind)
    }
    received = await settled(getattr(getattr(near, service), operation)(**sent))
    (arrived,) = far.arrived
    assert arrived == sent
    assert [name for name in sent if is_shared(arrived[name], sent[name])] == []
    assert counter.calls == {(service, operation): 1}
    assert isinstance(getattr(near, service), CONTRACTS[service])

    if returns is not StreamGuard:
        assert received == await settled(answer_of(returns))


def is_shared(one: object, other: object) -> bool:
    """Tell whether two values are the same object, where that could matter."""
    return one is other and is_dataclass(one)


async def test_what_does_not_serialise_is_refused_before_it_arrives() -> None:
    """Proof that nothing depends on the identity of an object."""
    far = Recorder()
    near = loopback(far.services(), CallCounter())
    unfit: Any = {"set": {1, 2}}

    with pytest.raises(ContractViolation, match="does not serialise") as caught:
        await near.session_event.append_event(CONTEXT, "s", "type", unfit)

    assert caught.value.code == "spi.loopback"
    assert far.arrived == []


async def test_an_answer_that_does_not_serialise_is_refused() -> None:
    """The core is held to the contract as the modules are."""

    class Sections(NoOpConfigSecrets):
        async def section(self) -> Any:
            return {"object": object()}

    near = loopback(replaced(config_secrets=Sections()), CallCounter())

    with pytest.raises(ContractViolation, match="does not serialise"):
        await near.config_secrets.section()


def replaced(**services: Any) -> Services:
    names = CONTRACTS.keys() - services.keys()
    return Services(**{name: getattr(noop_services(), name) for name in names}, **services)


async def test_an_error_crosses_as_its_own_kind() -> None:
    """Another object, with the original as its cause; also where nothing is awaited."""
    near, _ = invoking(DENIED)

    with pytest.raises(PluginDenied) as caught:
        await near.catalog.invoke(CONTEXT, INVOCATION)

    assert caught.value is not DENIED
    assert caught.value.__cause__ is DENIED
    assert caught.value.envelope() == DENIED.envelope()

    with pytest.raises(Unsupported):
        near.catalog.revocations()


@pytest.mark.parametrize(
    "result", [Complete(payload={"a": [1]}), InputRequired(requests={"q": {}}, state="s")]
)
async def test_a_whole_result_crosses(result: Result) -> None:
    """Of either form, and without the form being named twice."""
    near, owner = invoking(result)
    received = await near.catalog.invoke(CONTEXT, INVOCATION)
    assert received == result
    assert received is not result
    assert owner.received == [CONTEXT, INVOCATION]


async def test_a_streamed_result_crosses_event_by_event() -> None:
    """It is read as it comes, and closing it closes the owner's stream, read or not."""
    events = Items([StreamEvent(payload={"n": 1}), StreamEvent(payload={"n": 2})])
    near, _ = invoking(Streaming(events))
    result = await near.catalog.invoke(CONTEXT, INVOCATION)
    assert isinstance(result, Streaming)
    assert (await anext(result.events)).payload == {"n": 1}
    assert not events.is_closed
    await result.close()
    assert events.is_closed


async def test_an_error_inside_a_stream_crosses() -> None:
    """After the events that came before it."""
    near, _ = invoking(Streaming(Items([StreamEvent(payload={}), UpstreamError("cut")])))
    result = await near.catalog.invoke(CONTEXT, INVOCATION)
    assert isinstance(result, Streaming)
    assert await anext(result.events) == StreamEvent(payload={})

    with pytest.raises(UpstreamError, match="cut"):
        await anext(result.events)


async def test_progress_comes_back_while_the_call_runs() -> None:
    """As data, like everything else."""
    near, _ = invoking(Complete(payload={}))
    told: list[Progress] = []

    async def note(update: Progress) -> None:
        told.append(update)

    await near.catalog.invoke(CONTEXT, INVOCATION, note)
    assert told == [Progress(progress=0.5, total=1.0)]
    assert repr(told[0].total) == "1.0"
    await near.catalog.invoke(CONTEXT, INVOCATION, None)


async def test_closing_a_subscription_closes_it_on_the_other_side() -> None:
    """Also before anything was read from it."""
    changes = Items([])

    class Catalog(NoOpCatalog):
        def subscribe(self, kinds: Sequence[Kind]) -> AsyncIterator[RecordChange]:
            return changes

    near = loopback(replaced(catalog=Catalog()), CallCounter())
    await close_iterator(near.catalog.subscribe([Kind.TOOL]))
    assert changes.is_closed


async def test_a_stream_guard_works_over_bytes() -> None:
    """Text, whole segments, the end, and a refusal."""
    heard: list[object] = []

    class Guard(NoOpGuard):
        async def push(self, lane: Lane, text: str) -> str:
            heard.append(lane)

            if text == "secret":
                raise DENIED

            return text.upper()

        async def close(self, lane: Lane) -> str:
            return f"end of {lane.choice}"

        async def finish(self) -> None:
            heard.append("finished")

    class Plugins(NoOpPlugin):
        async def open_guard(self, context: AuthenticatedContext, permit_id: str) -> StreamGuard:
            return Guard()

    counter = CallCounter()
    near = loopback(replaced(plugin=Plugins()), counter)
    guard = await near.plugin.open_guard(CONTEXT, "permit")
    lane, segment = Lane(choice=1), sample_of(Segment)
    assert await guard.push(lane, "a") == "A"
    assert await guard.close(lane) == "end of 1"
    assert await guard.judge([segment]) == (segment,)
    await guard.finish()
    assert heard == [lane, "finished"]
    assert heard[0] is not lane

    with pytest.raises(PluginDenied) as caught:
        await guard.push(lane, "secret")

    assert caught.value is not DENIED
    assert counter.calls == {("plugin", "open_guard"): 1}


async def test_a_module_is_called_over_bytes_as_well() -> None:
    """The host's direction of the contract: counted, and nothing shared."""
    counter, owner = CallCounter(), Owner(Complete(payload={"ok": True}))
    result = await invoke_module(owner, CONTEXT, INVOCATION, None, counter)
    assert result == Complete(payload={"ok": True})
    assert owner.received == [CONTEXT, INVOCATION]
    assert owner.received[1] is not INVOCATION
    assert counter.calls == {("module", "invoke"): 1}
    lost = Owner(NotFound("gone"))

    with pytest.raises(NotFound, match="gone"):
        await invoke_module(lost, CONTEXT, INVOCATION, None, counter)


def test_the_transport_needs_no_event_loop() -> None:
    """It awaits what is behind it and nothing of its own, so any loop will do."""
    near = loopback(noop_services(), CallCounter())
    target = Target(kind=Kind.TOOL, name="echo")

    assert run_alone(near.catalog.list(CONTEXT, Kind.TOOL)).records == ()

    with pytest.raises(NotFound):
        run_alone(near.catalog.admit(CONTEXT, target, Action.EXECUTE))


def run_alone(call: Coroutine[Any, Any, Any]) -> Any:
    with pytest.raises(StopIteration) as done:
        call.send(None)

    return done.value.value
