"""Request limits: a sliding minute of each credential, forgotten when idle."""

from __future__ import annotations

import time

import pytest

from spindle.limits import RequestLimits
from spindle_spi.context import Subject
from spindle_spi.errors import RateLimited


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_the_minute_slides(clock: list[float]) -> None:
    """The wait that is told is exactly the one that helps; refused calls do not count."""
    limits, caller = RequestLimits(2), Subject(token_id="t")
    limits.take(caller)
    clock[0] += 20
    limits.take(caller)

    for _ in range(3):
        with pytest.raises(RateLimited) as caught:
            limits.take(caller)

        assert caught.value.retry_after == 40

    clock[0] += 40
    limits.take(caller)

    with pytest.raises(RateLimited) as caught:
        limits.take(caller)

    assert caught.value.retry_after == 20
    limits.take(Subject(token_id="other"))


def test_zero_is_nothing_and_none_is_no_limit(clock: list[float]) -> None:
    """Both ends of the setting."""
    for _ in range(1000):
        RequestLimits(None).take(Subject())

    with pytest.raises(RateLimited) as caught:
        RequestLimits(0).take(Subject())

    assert caught.value.retry_after == 60


def test_idle_credentials_are_forgotten(clock: list[float]) -> None:
    """What is remembered is bounded by who called in the last two minutes."""
    limits = RequestLimits(5)

    for number in range(500):
        clock[0] += 1
        limits.take(Subject(token_id=f"t{number}"))
        assert limits.tracked() <= 121
