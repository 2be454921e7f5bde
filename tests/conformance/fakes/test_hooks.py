"""Hooks and guards: the fake host runs plugins as the core does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle_spi.admission import Outcome, Permit, Status
from spindle_spi.errors import (
    ContractViolation,
    NotFound,
    PluginDenied,
)
from spindle_spi.plugin import HookPhase, Lane, Segment, SegmentKind
from spindle_spi.policy import Action
from tests.conformance.fakes.sides import DONE, MAIL, OPEN, Side, refused, text

if TYPE_CHECKING:
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.services import Services


async def test_what_was_admitted_with_hooks_is_not_settled_well_without(masked: Side) -> None:
    """Both phases, or the answer must not go out; the call is recorded as an error."""
    services, red = masked.services(), await masked.caller("red")
    permit = await services.catalog.admit(red, OPEN, Action.EXECUTE)
    assert permit.hooks.request == permit.hooks.answer == ("pii",)
    await services.plugin.execute_hook(red, permit.id, HookPhase.PRE_INVOKE, [text("hi")])
    assert await refused(services.catalog.settle(permit.id, DONE)) == (
        ContractViolation,
        "core.settle.unhooked",
        "The hooks of the model 'up~open' did not run.",
    )
    assert (await refused(services.catalog.settle(permit.id, DONE)))[0] is NotFound
    failed = await services.catalog.admit(red, OPEN, Action.EXECUTE)
    await services.catalog.settle(failed.id, Outcome(status=Status.CANCELLED))
    assert masked.statuses() == {"error": 1, "cancelled": 1}


async def _hooked(services: Services, red: AuthenticatedContext) -> Permit:
    permit = await services.catalog.admit(red, OPEN, Action.EXECUTE)
    await services.plugin.execute_hook(red, permit.id, HookPhase.PRE_INVOKE, [text("hi")])
    return permit


async def test_hooks_replace_and_leave_their_receipts(masked: Side) -> None:
    """Segments come back in order; pieces of other kinds are left alone."""
    services, red = masked.services(), await masked.caller("red")
    permit = await _hooked(services, red)
    image = Segment(pointer="/messages/1", kind=SegmentKind.IMAGE, text=MAIL)
    judged = await services.plugin.execute_hook(
        red, permit.id, HookPhase.POST_INVOKE, [text("hi"), text(MAIL), image]
    )
    assert [segment.pointer for segment in judged] == [
        "/messages/0/content",
        "/messages/0/content",
        "/messages/1",
    ]
    assert (judged[0].text, judged[2]) == ("hi", image)
    assert "ada@example.org" not in judged[1].text
    await services.catalog.settle(permit.id, DONE)
    assert masked.statuses() == {"ok": 1}


async def test_hooks_run_for_the_permits_own_caller_alone(masked: Side) -> None:
    """Anybody else's permit is not there, nor is one that is settled."""
    services, red = masked.services(), await masked.caller("red")
    other = await masked.caller("red")
    permit = await _hooked(services, red)
    missing = (NotFound, "core.permit.not_found", "No such permit.")
    run, phase = services.plugin.execute_hook, HookPhase.PRE_INVOKE
    assert await refused(run(other, permit.id, phase, [text("hi")])) == missing
    assert await refused(services.plugin.open_guard(other, permit.id)) == missing
    await services.catalog.settle(permit.id, Outcome(status=Status.ERROR))
    assert await refused(run(red, permit.id, phase, [text("hi")])) == missing


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_a_guard_releases_what_unary_shows(masked: Side, size: int) -> None:
    """However the text is cut; finishing it is the receipt."""
    services, red = masked.services(), await masked.caller("red")
    permit = await _hooked(services, red)
    run, phase = services.plugin.execute_hook, HookPhase.PRE_INVOKE
    long = f"{'so ' * 200}{MAIL} {'and ' * 200}"
    (whole,) = await run(red, permit.id, phase, [text(long)])
    guard = await services.plugin.open_guard(red, permit.id)
    pieces = [long[at : at + size] for at in range(0, len(long), size)]
    released = "".join([await guard.push(Lane(), piece) for piece in pieces])
    assert released
    assert whole.text.startswith(released)
    assert len(released) < len(whole.text)
    assert released + await guard.close(Lane()) == whole.text
    assert await guard.close(Lane(choice=7)) == ""
    await guard.finish()
    await guard.finish()
    await services.catalog.settle(permit.id, DONE)


async def test_a_guard_is_used_as_the_contract_says(masked: Side) -> None:
    """Not after its end, not past a closed lane, not finished with one open."""
    services, red = masked.services(), await masked.caller("red")
    permit = await _hooked(services, red)

    async def fresh_finish() -> None:
        guard = await services.plugin.open_guard(red, permit.id)
        await guard.push(Lane(), "a")
        await guard.finish()

    async def fresh_push() -> None:
        guard = await services.plugin.open_guard(red, permit.id)
        await guard.push(Lane(), "a")
        await guard.close(Lane())
        await guard.push(Lane(), "b")

    async def late_push() -> None:
        guard = await services.plugin.open_guard(red, permit.id)
        await guard.finish()
        await guard.push(Lane(), "b")

    said = [(await refused(work()))[2] for work in (fresh_finish, fresh_push, late_push)]
    assert said == [
        "A guard was finished while a lane of it was open.",
        "Text was pushed into a lane that is closed.",
        "A guard was used after it was finished.",
    ]


async def test_a_plugin_refuses_whole_and_streamed_answers(blocked: Side) -> None:
    """With one code; the guard says it again and leaves no receipt."""
    services, red = blocked.services(), await blocked.caller("red")
    permit = await _hooked(services, red)
    run = services.plugin.execute_hook(red, permit.id, HookPhase.POST_INVOKE, [text(MAIL)])
    whole = await refused(run)
    assert whole[0] is PluginDenied
    guard = await services.plugin.open_guard(red, permit.id)

    async def stream() -> None:
        await guard.push(Lane(), MAIL)
        await guard.close(Lane())

    assert await refused(stream()) == whole
    assert await refused(guard.push(Lane(choice=1), "more")) == whole
    assert await refused(guard.finish()) == whole
    assert (await refused(services.catalog.settle(permit.id, DONE)))[0] is ContractViolation
