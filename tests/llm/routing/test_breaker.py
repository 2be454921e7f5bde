"""The circuit breaker: a state machine that is told what time it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spindle_llm.routing.breaker import Breaker, BreakerRules, BreakerState
from spindle_llm.routing.window import Recent

RULES = BreakerRules(failures=3, ratio=0.5, ratio_calls=10, cooldown=10.0)
FEW = Recent(calls=3, errors=3)


def _open(now: float = 0.0) -> Breaker:
    breaker = Breaker(RULES)

    for _ in range(3):
        breaker.failed(now, FEW)

    assert breaker.state.value == "open"
    return breaker


def test_failures_one_after_the_other_open_it() -> None:
    """One that went well in between starts the count again."""
    breaker = Breaker(RULES)
    breaker.failed(0.0, FEW)
    breaker.failed(0.0, FEW)
    breaker.succeeded()
    breaker.failed(0.0, FEW)
    breaker.failed(0.0, FEW)
    assert breaker.state.value == "closed"
    breaker.failed(0.0, FEW)
    assert breaker.state.value == "open"


def test_a_part_of_many_calls_opens_it() -> None:
    """Of few calls it does not."""
    breaker = Breaker(RULES)
    breaker.failed(0.0, Recent(calls=9, errors=9))
    breaker.succeeded()
    breaker.failed(0.0, Recent(calls=10, errors=4))
    assert breaker.state.value == "closed"
    breaker.succeeded()
    breaker.failed(0.0, Recent(calls=10, errors=5))
    assert breaker.state.value == "open"


def test_open_it_lets_nobody_through_until_it_has_cooled_down() -> None:
    """Then exactly one, and it says how long the others have to wait."""
    breaker = _open()
    assert not breaker.admits(9.9)
    assert breaker.wait(4.0) == 6.0
    assert breaker.admits(10.0)
    assert breaker.state.value == "half_open"
    assert not breaker.admits(10.0)
    assert breaker.wait(10.0) > 0.0


def test_the_one_that_tries_decides() -> None:
    """Going well closes it, failing opens it for twice as long, eight times at most."""
    breaker = _open()
    assert breaker.admits(10.0)
    breaker.succeeded()
    assert breaker.state.value == "closed"
    assert breaker.wait(10.0) == 0.0
    breaker, now, waits = _open(), 0.0, list[float]()

    for _ in range(5):
        now += breaker.wait(now)
        assert breaker.admits(now)
        breaker.failed(now, FEW)
        waits.append(breaker.wait(now))

    assert waits == [20.0, 40.0, 80.0, 80.0, 80.0]


def test_a_try_nobody_waited_for_leaves_the_next_one_the_try() -> None:
    """A client that left must not keep a provider shut out."""
    breaker = _open()
    assert breaker.admits(10.0)
    breaker.abandoned(11.0)
    assert breaker.admits(11.0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["ask", "ok", "fail", "abandon"]), st.floats(0, 30, allow_nan=False)),
    max_size=60,
)


@given(STEPS)
def test_while_it_is_not_closed_at_most_one_call_is_on_its_way(
    steps: list[tuple[str, float]],
) -> None:
    """Whatever happens in whatever order."""
    breaker, now, trying = _open(), 0.0, 0

    for step, passed in steps:
        now += passed

        if step == "ask" and breaker.state is not BreakerState.CLOSED:
            trying += breaker.admits(now)
        elif trying and step == "ok":
            breaker.succeeded()
            trying = 0
        elif trying and step == "fail":
            breaker.failed(now, FEW)
            trying = 0
        elif trying and step == "abandon":
            breaker.abandoned(now)
            trying = 0

        assert trying <= 1
