"""Requests and tokens a minute, in a sliding window."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spindle_llm.routing.rates import Rate, Rates, rates_of
from tests.llm.support.records import SPEC

LIMIT = 5


@given(st.lists(st.floats(0, 20, allow_nan=False), max_size=120))
def test_no_minute_holds_more_than_the_limit(pauses: list[float]) -> None:
    """Wherever the minute begins; and the wait that is told is enough."""
    rate, now, taken = Rate(LIMIT), 1000.0, list[float]()

    for pause in pauses:
        now += pause
        wait = rate.wait(now, 1)

        if wait:
            assert 0.0 < wait <= 61.0
            now += wait
            assert rate.wait(now, 1) == 0.0

        rate.add(now, 1)
        taken.append(now)

    for start in taken:
        assert sum(start <= at < start + 60.0 for at in taken) <= LIMIT


def test_what_is_larger_than_the_limit_passes_when_nothing_else_is_counted() -> None:
    """It would wait for ever otherwise."""
    rate = Rate(LIMIT)
    assert rate.wait(0.0, 50) == 0.0
    rate.add(0.0, 50)
    assert rate.wait(1.0, 1) > 58.0
    assert rate.wait(61.0, 50) == 0.0


def test_what_was_counted_too_much_is_taken_back() -> None:
    """Never more of it than is counted in that second."""
    rate = Rate(100)
    rate.add(0.0, 100)
    rate.add(0.0, -40)
    assert rate.used(0.0) == 0.6
    rate.add(5.0, -40)
    assert rate.used(5.0) == 0.6


def test_both_limits_have_to_allow_a_call_and_a_refused_one_counts_for_neither() -> None:
    """The longer wait is told."""
    rates = Rates(2, 100)
    assert rates.take(0.0, 60) == 0.0
    assert rates.take(0.0, 60) > 0.0
    assert rates.take(0.0, 40) == 0.0
    assert rates.take(0.0, 0) > 0.0
    assert rates.is_near(0.0)
    rates.correct(61.0, 10)
    assert rates.tokens is not None
    assert rates.tokens.used(61.0) == 0.1


def test_limits_that_stay_keep_what_is_counted() -> None:
    """Others begin anew, and a provider without limits has nothing to count."""
    spec = replace(SPEC, requests_per_minute=3)
    first = rates_of(spec)
    assert first is not None
    assert first.tokens is None
    assert rates_of(replace(spec, long_timeout=9.0), first) is first
    assert rates_of(replace(spec, tokens_per_minute=9), first) is not first
    assert rates_of(SPEC, first) is None
    assert not first.is_near(0.0)
    first.correct(0.0, 5)
