"""Limits of a minute: by token, user and team, in memory; forgotten when idle."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle.config.limits import LimitSettings
from spindle.limits import Limits, Strangers
from spindle.limits.windows import Window
from spindle.store.limits import RateLimitRow
from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.errors import RateLimited
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.core.heart import open_heart

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def caller(
    token: str | None = "t", user: str | None = None, request: str = "req"
) -> AuthenticatedContext:
    return AuthenticatedContext(
        subject=Subject(token_id=token, user_email=user),
        visibility_scope=VisibilityScope(),
        trace=TraceContext(request_id=request),
    )


def settings(text: str) -> LimitSettings:
    return LimitSettings.model_validate_json(text)


def refused(limits: Limits, who: AuthenticatedContext, team: str | None = None) -> float:
    with pytest.raises(RateLimited) as caught:
        limits.take(who, team)

    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.retry_after is not None
    return caught.value.retry_after


def test_the_minute_slides(clock: list[float]) -> None:
    """The wait that is told is exactly the one that helps; refused calls do not count."""
    limits = Limits(settings('{"requests_per_minute": 2}'))
    limits.take(caller())
    clock[0] += 20
    limits.take(caller())

    for _ in range(3):
        assert refused(limits, caller()) == 40

    clock[0] += 40
    limits.take(caller())
    assert refused(limits, caller()) == 20
    limits.take(caller("other"))


def test_nothing_configured_limits_nothing() -> None:
    """And remembers nobody."""
    limits = Limits(LimitSettings())
    assert not limits.is_active

    for _ in range(100):
        limits.take(caller())

    assert limits.tracked() == 0


def test_idle_callers_are_forgotten(clock: list[float]) -> None:
    """Whoever has not called for two minutes takes no memory; who has, is still counted."""
    limits = Limits(settings('{"requests_per_minute": 1}'))

    for number in range(50):
        limits.take(caller(f"t{number}"))

    clock[0] += 30
    limits.take(caller("late"))
    assert limits.tracked() == 51
    clock[0] += 45
    refused(limits, caller("late"))
    assert limits.tracked() == 1


def test_tokens_of_a_call_are_corrected_at_its_end(clock: list[float]) -> None:
    """What was counted at the beginning is the request's size; what counts is what was used."""
    limits = Limits(settings('{"tokens_per_minute": 100}'))
    taken = limits.take(caller(), None, 10)
    limits.settle(taken, 100)
    assert refused(limits, caller()) == 60
    clock[0] += 60
    cheap = limits.take(caller(), None, 100)
    refused(limits, caller())
    limits.settle(cheap, 1)
    limits.take(caller(), None, 99)
    refused(limits, caller())


def test_what_a_long_call_used_counts_when_it_ends(clock: list[float]) -> None:
    """Its own minute is over by then, and the tokens are used all the same."""
    limits = Limits(settings('{"tokens_per_minute": 100}'))
    taken = limits.take(caller(), None, 10)
    clock[0] += 90
    limits.settle(taken, 200)
    refused(limits, caller())
    clock[0] += 60
    late = limits.take(caller(), None, 10)
    clock[0] += 61
    limits.settle(late, 0)
    limits.take(caller())


def test_every_holder_of_a_call_has_room_or_nobody_counts_it(clock: list[float]) -> None:
    """Token, user and team; the refusal by one takes nothing from the others."""
    limits = Limits(
        settings(
            '{"requests_per_minute": 9, "each_user": {"requests_per_minute": 3},'
            ' "teams": {"red": {"requests_per_minute": 2}}, "users": {"B@x": {}}}'
        )
    )
    one, two = caller("one", "a@x"), caller("two", "a@x")
    limits.take(one, "red")
    limits.take(two, "red")

    for _ in range(5):
        refused(limits, one, "red")

    limits.take(one, "blue")
    refused(limits, two)

    for _ in range(9):
        limits.take(caller("three", "b@x"))

    refused(limits, caller("three", "b@x"))


def test_callers_without_a_token_are_told_apart_by_address(clock: list[float]) -> None:
    """One who asks too much does not shut out the others; an IPv6 network is one."""
    strangers = Strangers()
    limits = Limits(settings('{"requests_per_minute": 1}'), strangers=strangers)
    addresses = ("10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2", "::ffff:10.0.0.1", None, "x")

    for number, address in enumerate(addresses):
        strangers.note(f"r{number}", address)

    for number in (0, 1, 2, 5):
        limits.take(caller(None, request=f"r{number}"))

    for number in (0, 3, 4, 6):
        refused(limits, caller(None, request=f"r{number}"))


def test_addresses_are_bounded(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound they count together, and of requests the oldest are forgotten."""
    monkeypatch.setattr("spindle.limits._MOST_ADDRESSES", 2)
    monkeypatch.setattr("spindle.limits.strangers._MOST", 3)
    strangers = Strangers()
    limits = Limits(settings('{"requests_per_minute": 1}'), strangers=strangers)

    for number in range(4):
        strangers.note(f"r{number}", f"10.0.0.{number}")

    assert strangers.address_of("r0") == "anywhere"

    for number in range(1, 4):
        limits.take(caller(None, request=f"r{number}"))

    refused(limits, caller(None, request="r3"))
    monkeypatch.setattr("spindle.limits._MOST_KNOWN", 1)
    refused(limits, caller(None, request="r1"))


def test_an_empty_window_waits_a_minute_at_most() -> None:
    """For a limit that nothing fits in."""
    assert Window(0).wait(5.0) == 60


@pytest.mark.requirement("002-12-auth")
async def test_limits_of_the_store_stand_before_the_configuration(tmp_path: Path) -> None:
    """By token, then by role, then for each; a change is in force with the next snapshot."""
    extra = "\nlimits: {requests_per_minute: 3, roles: {viewer: {requests_per_minute: 1}}}\n"

    async with open_heart(tmp_path, extra) as heart:
        core = heart.core
        plain, viewer = await heart.caller("red"), await heart.caller("red", role="viewer")
        special = await heart.caller("red")
        rows = core.store.rate_limits
        row = await rows.create(
            RateLimitRow(scope="token", name=special.subject.token_id or "", requests_per_minute=2)
        )
        await core.snapshots.refresh()
        target = Target(kind=Kind.MODEL, name="up~open")

        def allowed(who: AuthenticatedContext) -> int:
            done = 0

            while True:
                try:
                    core.allowance.limits.take(who)
                except RateLimited:
                    return done

                done += 1

        assert (allowed(plain), allowed(viewer), allowed(special)) == (3, 1, 2)

        with pytest.raises(RateLimited):
            core.admission.admit(plain, target, Action.EXECUTE)

        await rows.change(replace(row, requests_per_minute=5))
        await core.snapshots.refresh()
        assert allowed(special) == 3
        await rows.delete(row.id)
        await rows.create(RateLimitRow(scope="team", name="*", tokens_per_minute=None))
        await core.snapshots.refresh()
        assert allowed(special) == 0
