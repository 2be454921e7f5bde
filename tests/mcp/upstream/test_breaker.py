from __future__ import annotations

from spindle_mcp.upstream.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_failures_in_a_row_and_one_call_tries_again() -> None:
    """A success in between begins the count anew; a failed trial makes the pause longer."""
    clock = Clock()
    breaker = Breaker(failures=3, longest_pause=3.0, clock=clock)

    for _ in range(2):
        assert breaker.enter() is None
        breaker.fail()

    breaker.succeed()

    for _ in range(3):
        assert (breaker.enter(), breaker.state) == (None, "closed")
        breaker.fail()

    for pause in (1.0, 2.0, 3.0, 3.0):
        assert (breaker.state, breaker.enter()) == ("open", pause)
        clock.now += pause
        assert (breaker.state, breaker.enter()) == ("half_open", None)
        assert breaker.enter() == 1.0
        breaker.fail()

    clock.now += 3.0
    assert breaker.enter() is None
    breaker.succeed()
    assert (breaker.state, breaker.enter(), breaker.failures) == ("closed", None, 0)


def test_a_trial_without_a_verdict_leaves_the_next_one_to_try() -> None:
    """Whoever tried may have been cancelled."""
    clock = Clock()
    breaker = Breaker(failures=1, longest_pause=3.0, clock=clock)
    assert breaker.enter() is None
    breaker.fail()
    clock.now += 1.0
    assert breaker.enter() is None
    breaker.give_up()
    assert (breaker.enter(), breaker.state) == (None, "half_open")
