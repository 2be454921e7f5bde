"""Admit and settle: the one policy function, and the one end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from spindle_spi.admission import Outcome, Status, TokenUsage
from spindle_spi.errors import (
    ContractViolation,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
)
from spindle_spi.plugin import HookPhase, Lane, Segment, SegmentKind
from spindle_spi.policy import Action
from spindle_spi.records import Kind, ModelSpec, Target
from tests.core.heart import Heart, open_heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle.store import UsageRow
    from spindle.store.rows import Companion
    from spindle_spi.context import AuthenticatedContext

OPEN = Target(kind=Kind.MODEL, name="up~open")
ASK = Target(kind=Kind.TOOL, name="ask")
RED = Target(kind=Kind.MODEL, name="up~red")
DONE = Outcome(status=Status.OK, usage=TokenUsage(input_tokens=1000, output_tokens=500))
PII = """
plugins:
  entries: [{name: pii, plugin: pii, config: {action: mask}}]
"""


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path) as heart:
        yield heart


async def test_hidden_and_absent_are_refused_alike(heart: Heart) -> None:
    """Only the name the caller said differs."""
    blue = await heart.caller("blue")
    errors: list[NotFound] = []

    for name in ("up~red", "up~nil"):
        with pytest.raises(NotFound) as caught:
            heart.core.admission.admit(blue, Target(kind=Kind.MODEL, name=name), Action.EXECUTE)
        errors.append(caught.value)

    hidden, absent = errors
    assert hidden.message.replace("up~red", "X") == absent.message.replace("up~nil", "X")
    assert hidden.code == absent.code == "core.model.not_found"


async def test_hidden_comes_before_forbidden(heart: Heart) -> None:
    """A caller who may do nothing still learns nothing of what is hidden."""
    nobody = await heart.caller("blue", permissions=())

    with pytest.raises(NotFound):
        heart.core.admission.admit(nobody, RED, Action.EXECUTE)

    with pytest.raises(PermissionDenied, match=r"llm\.invoke"):
        heart.core.admission.admit(nobody, OPEN, Action.EXECUTE)


async def test_a_permit_carries_backend_and_permitted_fallbacks(heart: Heart) -> None:
    """A fallback the caller may not see is not in it."""
    red = await heart.caller("red")
    permit = heart.core.admission.admit(red, OPEN, Action.EXECUTE)
    assert permit.backend is not None
    assert permit.backend.name == "up"
    assert [record.name for record in permit.alternatives] == ["up~red"]
    assert [record.name for record in permit.alternative_backends] == ["up"]
    await heart.core.admission.settle(permit.id, DONE)


async def test_a_settled_call_is_one_usage_row(heart: Heart) -> None:
    """Priced, with its caller, once; settling again is refused."""
    red = await heart.caller("red")
    permit = heart.core.admission.admit(red, OPEN, Action.EXECUTE)
    await heart.core.admission.settle(permit.id, DONE)

    with pytest.raises(NotFound):
        await heart.core.admission.settle(permit.id, DONE)

    await heart.core.ledger.flush()
    assert await heart.core.store.usage.count() == 1
    assert b'spindle_calls_total{kind="model",status="ok"} 1' in heart.core.metrics.render()


async def test_a_permit_nobody_settles_is_lost_with_its_lease(heart: Heart) -> None:
    """The end of the request ends it."""
    red = await heart.caller("red")
    permit = heart.core.admission.admit(red, OPEN, Action.EXECUTE)
    assert heart.core.leases.has_open(red.trace.request_id)
    await heart.core.leases.end(red.trace.request_id)
    assert heart.core.admission.has_open() == 0
    assert b'status="lost"} 1' in heart.core.metrics.render()

    with pytest.raises(NotFound):
        await heart.core.admission.settle(permit.id, DONE)


async def test_an_explicit_lease_outlives_the_request(heart: Heart) -> None:
    """Its permits end with it, not with the request; another caller cannot use it."""
    red, other = await heart.caller("red"), await heart.caller("red")
    lease = heart.core.leases.open(red, 60)
    heart.core.admission.admit(red, OPEN, Action.EXECUTE, lease_id=lease.id)
    await heart.core.leases.end(red.trace.request_id)
    assert heart.core.admission.has_open() == 1

    with pytest.raises(NotFound):
        heart.core.admission.admit(other, OPEN, Action.EXECUTE, lease_id=lease.id)

    with pytest.raises(NotFound):
        heart.core.admission.admit(red, OPEN, Action.EXECUTE, lease_id="lease_none")

    assert heart.core.leases.renew(lease.id, 90).expires_at > lease.expires_at
    await heart.core.leases.end(lease.id)
    assert heart.core.admission.has_open() == 0

    with pytest.raises(NotFound):
        heart.core.leases.renew(lease.id, 60)


@pytest.fixture
async def hooked(tmp_path: Path) -> AsyncGenerator[tuple[Heart, AuthenticatedContext]]:
    async with open_heart(tmp_path, PII) as heart:
        yield heart, await heart.caller("red")


async def test_success_without_hooks_is_a_defect(
    hooked: tuple[Heart, AuthenticatedContext],
) -> None:
    """A plan nobody carried out refuses the answer and is recorded as an error."""
    heart, red = hooked
    permit = heart.core.admission.admit(red, OPEN, Action.EXECUTE)
    assert permit.hooks

    with pytest.raises(ContractViolation):
        await heart.core.admission.settle(permit.id, DONE)

    assert b'status="error"} 1' in heart.core.metrics.render()


async def test_a_failed_call_needs_no_receipts(
    hooked: tuple[Heart, AuthenticatedContext],
) -> None:
    """What never answered had nothing to judge."""
    heart, red = hooked
    permit = heart.core.admission.admit(red, OPEN, Action.EXECUTE)
    await heart.core.admission.settle(permit.id, Outcome(status=Status.ERROR))


async def test_hooks_leave_receipts(hooked: tuple[Heart, AuthenticatedContext]) -> None:
    """Request hook and guard together make a success settleable."""
    heart, red = hooked
    services = heart.core.services_for("llm")
    permit = await services.catalog.admit(red, OPEN, Action.EXECUTE)
    segment = Segment(pointer="/x", kind=SegmentKind.TEXT, text="mail a@example.org")
    (judged,) = await services.plugin.execute_hook(red, permit.id, HookPhase.PRE_INVOKE, [segment])
    assert judged.text == "mail [EMAIL]"
    guard = await services.plugin.open_guard(red, permit.id)
    text = await guard.push(Lane(), "to b@example")
    text += await guard.push(Lane(), ".org now")
    text += await guard.close(Lane())
    assert text == "to [EMAIL] now"
    await guard.finish()
    await services.catalog.settle(permit.id, DONE)


async def test_a_permit_is_its_callers_alone(
    hooked: tuple[Heart, AuthenticatedContext],
) -> None:
    """Another caller's permit id opens nothing."""
    heart, red = hooked
    stranger = await heart.caller("red")
    permit = heart.core.admission.admit(red, OPEN, Action.EXECUTE)

    with pytest.raises(NotFound):
        await heart.core.services_for("llm").plugin.open_guard(stranger, permit.id)


async def test_the_minute_limit_refuses_with_the_wait(tmp_path: Path) -> None:
    """The third call of a minute of two is told when to come back."""
    async with open_heart(tmp_path, "\nlimits: {requests_per_minute: 2}\n") as heart:
        red, other = await heart.caller("red"), await heart.caller("red")

        for _ in range(2):
            heart.core.admission.admit(red, OPEN, Action.EXECUTE)

        with pytest.raises(RateLimited) as caught:
            heart.core.admission.admit(red, OPEN, Action.EXECUTE)

        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 60
        assert heart.core.admission.admit(other, OPEN, Action.EXECUTE).record.name == "up~open"


async def test_a_provider_off_in_the_file_takes_its_models_along(tmp_path: Path) -> None:
    """They are absent, not broken."""
    async with open_heart(tmp_path, off=True) as heart:
        with pytest.raises(NotFound):
            heart.core.admission.admit(await heart.caller("red"), OPEN, Action.EXECUTE)


async def test_a_provider_switched_off_alone_serves_nothing(heart: Heart) -> None:
    """Its models are there and say that what serves them is off."""
    core = heart.core
    provider = core.snapshots.current.by_name[Kind.PROVIDER, "up"]
    await core.store.catalog.upsert(replace(provider, enabled=False))

    with pytest.raises(FailedPrecondition, match="switched off"):
        core.admission.admit(await heart.caller("red"), OPEN, Action.EXECUTE)


def nobody(heart: Heart) -> AuthenticatedContext:
    """Return an anonymous caller of the lobby, in a request of its own."""
    caller = heart.resolve(None, "lobby")
    scope = replace(caller.visibility_scope, permissions=("*",), server_id=None)
    return replace(caller, visibility_scope=scope)


async def test_callers_without_a_token_share_no_permit(
    hooked: tuple[Heart, AuthenticatedContext],
) -> None:
    """They have one subject, and still one request's permit is nothing to another."""
    heart, _ = hooked
    one, other = nobody(heart), nobody(heart)
    assert one.subject == other.subject
    permit = heart.core.admission.admit(one, ASK, Action.EXECUTE)
    plugin = heart.core.services_for("llm").plugin
    segment = Segment(pointer="/x", kind=SegmentKind.TEXT, text="x")

    with pytest.raises(NotFound):
        await plugin.execute_hook(other, permit.id, HookPhase.PRE_INVOKE, [segment])

    with pytest.raises(NotFound):
        heart.core.admission.admit(other, ASK, Action.EXECUTE, lease_id=permit.lease_id)

    assert await plugin.execute_hook(one, permit.id, HookPhase.PRE_INVOKE, [segment])


async def test_only_who_admitted_settles(heart: Heart) -> None:
    """A permit's id in another module's hands ends nothing."""
    red = await heart.caller("red")
    llm, mcp = (heart.core.services_for(name).catalog for name in ("llm", "mcp"))
    permit = await llm.admit(red, OPEN, Action.EXECUTE)

    with pytest.raises(NotFound):
        await mcp.settle(permit.id, DONE)

    with pytest.raises(NotFound):
        await heart.core.admission.settle(permit.id, DONE)

    await llm.settle(permit.id, DONE)
    assert heart.core.admission.has_open() == 0


async def test_of_many_settlements_at_once_one_counts(heart: Heart) -> None:
    """Ten settle, and the lease ends meanwhile: one row."""
    red = await heart.caller("red")
    permit = heart.core.admission.admit(red, OPEN, Action.EXECUTE)
    refused = 0

    async def settle() -> None:
        nonlocal refused

        try:
            await heart.core.admission.settle(permit.id, DONE)
        except NotFound:
            refused += 1

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(settle)

        group.start_soon(heart.core.leases.end, permit.lease_id)

    await heart.core.ledger.flush()
    assert (refused, await heart.core.store.usage.count()) == (9, 1)
    assert not heart.core.leases.has_open(permit.lease_id)


async def test_a_settlement_cancelled_in_the_middle_is_settled(tmp_path: Path) -> None:
    """With a window of 0 it waits for the store; cancelled there, the row is kept."""
    async with open_heart(tmp_path, "\nusage: {flush_seconds: 0}\n") as heart:
        red = await heart.caller("red")
        permit = heart.core.admission.admit(red, OPEN, Action.EXECUTE)

        async with anyio.create_task_group() as group:
            group.start_soon(heart.core.admission.settle, permit.id, DONE)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

        assert heart.core.admission.has_open() == 0
        await heart.core.ledger.flush()
        assert await heart.core.store.usage.count() == 1


async def test_a_dead_store_fails_calls_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a window of 0 the answer is refused; what the lease loses is kept without a word."""
    async with open_heart(tmp_path, "\nusage: {flush_seconds: 0}\n") as heart:
        red = await heart.caller("red")
        permits = [heart.core.admission.admit(red, OPEN, Action.EXECUTE) for _ in range(3)]
        store = heart.core.store

        async def add_many(rows: object) -> None:
            raise OSError("away")

        with monkeypatch.context() as patch:
            patch.setattr(store.usage, "add_many", add_many)

            with pytest.raises(Unavailable):
                await heart.core.admission.settle(permits[0].id, DONE)

            await heart.core.leases.end(red.trace.request_id)

        assert heart.core.admission.has_open() == 0
        await heart.core.ledger.flush()
        assert await store.usage.count() == 3


async def test_nothing_is_admitted_that_cannot_be_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full ledger over a dead store takes no more calls, until the store is back."""
    async with open_heart(tmp_path, "\nusage: {max_pending: 2}\n") as heart:
        red = await heart.caller("red")
        store, admission = heart.core.store, heart.core.admission

        async def add_many(rows: object) -> None:
            raise OSError("away")

        with monkeypatch.context() as patch:
            patch.setattr(store.usage, "add_many", add_many)

            for _ in range(2):
                await admission.settle(admission.admit(red, OPEN, Action.EXECUTE).id, DONE)

            with pytest.raises(Unavailable):
                admission.admit(red, OPEN, Action.EXECUTE)

        await heart.core.ledger.flush()
        await admission.settle(admission.admit(red, OPEN, Action.EXECUTE).id, DONE)


@pytest.mark.parametrize("tokens", [-5, 10**400])
async def test_absurd_usage_is_recorded_within_reason(heart: Heart, tokens: int) -> None:
    """An upstream may say anything; neither the settlement nor the row breaks."""
    red = await heart.caller("red")
    permit = heart.core.admission.admit(red, OPEN, Action.EXECUTE)
    usage = TokenUsage(input_tokens=tokens, output_tokens=tokens, estimated=True)
    await heart.core.admission.settle(permit.id, Outcome(status=Status.OK, usage=usage))
    await heart.core.ledger.flush()
    assert await heart.core.store.usage.count() == 1


async def test_the_record_that_answered_is_priced(tmp_path: Path) -> None:
    """A fallback's own price and provider stand in the row."""
    rows: list[UsageRow] = []

    async with open_heart(tmp_path) as heart:
        red = await heart.caller("red")
        model = heart.core.snapshots.current.by_name[Kind.MODEL, "up~red"]
        assert isinstance(model.spec, ModelSpec)
        spec = replace(model.spec, input_price=100.0, output_price=0.0)
        await heart.core.store.catalog.upsert(replace(model, spec=spec))
        await heart.core.snapshots.refresh()
        add = heart.core.ledger.add

        async def noting(row: UsageRow, companion: Companion | None = None) -> None:
            rows.append(row)
            await add(row, companion)

        heart.core.ledger.add = noting  # type: ignore[method-assign]

        for served_by in (None, "up~red", "up~nil"):
            permit = heart.core.admission.admit(red, OPEN, Action.EXECUTE)
            await heart.core.admission.settle(permit.id, replace(DONE, served_by=served_by))

    assert [row.cost_usd for row in rows] == [0.002, 0.1, 0.002]
    assert {row.backend for row in rows} == {"up"}


async def test_fallbacks_are_what_the_caller_could_use(heart: Heart) -> None:
    """Not itself, not twice, not through a provider that is off, not what is hidden."""
    model = heart.core.snapshots.current.by_name[Kind.MODEL, "up~open"]
    assert isinstance(model.spec, ModelSpec)
    names = ("up~open", "up~red", "up~red", "azure", "up~nil", "off~m")
    await heart.core.store.catalog.upsert(replace(model, spec=replace(model.spec, fallbacks=names)))
    provider = heart.core.snapshots.current.by_name[Kind.PROVIDER, "up"]
    off = replace(provider, id="off", name="off", enabled=False)
    await heart.core.store.catalog.upsert(off)
    spec = ModelSpec(provider="off", upstream_name="m")
    await heart.core.store.catalog.upsert(replace(model, id="off~m", name="off~m", spec=spec))
    red, blue = await heart.caller("red"), await heart.caller("blue")
    admit = heart.core.admission.admit
    assert [r.name for r in admit(red, OPEN, Action.EXECUTE).alternatives] == ["up~red"]
    assert [r.name for r in admit(blue, OPEN, Action.EXECUTE).alternatives] == ["up~blue"]
