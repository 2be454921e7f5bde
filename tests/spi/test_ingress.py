"""What a handler receives."""

from __future__ import annotations

import time

from spindle_spi.context import AuthenticatedContext
from spindle_spi.ingress import Call
from tests.spi.derived import sample_of


def test_a_call_knows_its_request_and_the_time_it_has_left() -> None:
    """Without a deadline it has all the time."""
    context: AuthenticatedContext = sample_of(AuthenticatedContext)
    assert Call(context).request_id == context.trace.request_id
    assert Call(context).remaining() is None
    left = Call(context, deadline=time.monotonic() + 60).remaining()
    assert left is not None
    assert 0 < left <= 60
