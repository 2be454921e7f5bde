"""What the contract's base classes and values do by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from spindle_spi.admission import Grant, Outcome, Settlement, Status
from spindle_spi.context import AuthenticatedContext
from spindle_spi.descriptor import ModuleDescriptor
from spindle_spi.errors import ContractViolation, GatewayError, NotFound, Unsupported
from spindle_spi.invocation import Invocation, Progress, StreamEvent, Streaming, close_iterator
from spindle_spi.module import Health, HealthState, Module, ModuleContext, Started
from spindle_spi.noop import NoOpCatalog
from spindle_spi.policy import Action
from spindle_spi.records import SPEC_OF, Kind, Target
from tests.spi.derived import sample_of

CONTEXT: AuthenticatedContext = sample_of(AuthenticatedContext)
TARGET: Target = sample_of(Target)
DONE = Outcome(status=Status.OK)


class Settling(NoOpCatalog):
    """Settles what it knows, and fails as it is told."""

    def __init__(self, failures: dict[str, GatewayError]) -> None:
        self.settled: list[str] = []
        self._failures = failures

    async def settle(self, permit_id: str, outcome: Outcome) -> None:
        if permit_id in self._failures:
            raise self._failures[permit_id]

        self.settled.append(permit_id)


class Bare(Module):
    """A module that only lives."""

    @property
    def descriptor(self) -> ModuleDescriptor:
        return ModuleDescriptor(module_id="bare", protocol_family="x", module_version="1")

    async def run(self, context: ModuleContext, started: Started) -> None:
        started()


class Plain(AsyncIterator[StreamEvent]):
    """An iterator that needs no closing."""

    async def __anext__(self) -> StreamEvent:
        raise StopAsyncIteration


async def ignore(update: Progress) -> None:
    del update


async def test_one_failure_does_not_keep_a_batch_from_being_settled() -> None:
    """Every other permit is settled; then the first failure is told."""
    lost, broken = NotFound("gone"), ContractViolation("no receipt")
    catalog = Settling({"b": lost, "d": broken})
    batch = [Settlement(permit_id=name, outcome=DONE) for name in "abcde"]

    with pytest.raises(NotFound) as caught:
        await catalog.settle_many(batch)

    assert caught.value is lost
    assert catalog.settled == ["a", "c", "e"]
    await catalog.settle_many(batch[:1])
    assert catalog.settled[-1] == "a"


async def test_a_host_without_grants_says_so() -> None:
    """Grants came after the first hosts, so their operations have a default."""
    catalog = NoOpCatalog()

    with pytest.raises(Unsupported):
        await catalog.grant(CONTEXT, TARGET, Action.EXECUTE)

    with pytest.raises(Unsupported):
        catalog.revocations()


def spendable(grant: Grant, **changed: float) -> bool:
    """Tell whether a grant may be spent in its best circumstances, changed."""
    now: dict[str, float] = {
        "token_epoch": grant.token_epoch,
        "record_epoch": grant.permit.record.epoch,
        "spent": grant.admissions - 1,
        "tokens": grant.token_allowance,
        "now": grant.expires_at - 0.001,
        **changed,
    }
    return grant.spendable(
        token_epoch=int(now["token_epoch"]),
        record_epoch=int(now["record_epoch"]),
        spent=int(now["spent"]),
        tokens=int(now["tokens"]),
        now=now["now"],
    )


def test_a_grant_is_spent_within_its_bounds_only() -> None:
    """Another epoch of token or record, one admission, token or moment too many ends it."""
    grant: Grant = sample_of(Grant)
    assert spendable(grant)
    assert not spendable(grant, token_epoch=grant.token_epoch + 1)
    assert not spendable(grant, record_epoch=grant.permit.record.epoch + 1)
    assert not spendable(grant, spent=grant.admissions)
    assert not spendable(grant, tokens=grant.token_allowance + 1)
    assert not spendable(grant, now=grant.expires_at)


def test_each_admission_of_a_grant_is_a_permit_of_its_own() -> None:
    """So that each is settled once."""
    grant: Grant = sample_of(Grant)
    first, second = grant.admission(0), grant.admission(1)
    assert first.id != second.id
    assert replace(first, id=grant.permit.id) == grant.permit


def test_every_kind_of_record_has_a_spec() -> None:
    """Also those this version gives no shape to."""
    assert set(SPEC_OF) == set(Kind)


async def test_closing_a_stream_tells_its_owner() -> None:
    """A generator runs its clean-up; what has nothing to clean up is left alone."""
    has_ended = False

    async def events() -> AsyncIterator[StreamEvent]:
        nonlocal has_ended

        try:
            yield StreamEvent(payload={})
        finally:
            has_ended = True

    stream = Streaming(events())
    await anext(stream.events)
    await stream.close()
    assert has_ended
    await stream.close()
    await close_iterator(Plain())


async def test_a_module_needs_a_descriptor_and_a_life_and_nothing_else() -> None:
    """Everything optional has a default; what it does not do it refuses."""
    module = Bare()
    assert module.config_schema == {"type": "object", "additionalProperties": False}
    assert (module.routes, module.prefixes, module.actions) == ((), (), ())
    assert await module.health() == Health(state=HealthState.READY)
    assert await module.stats() == {}
    await module.drain(0.0)

    with pytest.raises(Unsupported):
        await module.invoke(CONTEXT, Invocation(target=TARGET))

    with pytest.raises(Unsupported):
        await module.perform(CONTEXT, "clean", {}, ignore)
