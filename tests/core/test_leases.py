"""Leases: whose they are, how long they live, and that nothing is left when they end."""

from __future__ import annotations

import math
import time

import anyio
import anyio.lowlevel
import pytest

from spindle.leases import Leases
from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.errors import NotFound


def caller(request: str, token: str | None = None) -> AuthenticatedContext:
    return AuthenticatedContext(
        subject=Subject(token_id=token),
        visibility_scope=VisibilityScope(),
        trace=TraceContext(request_id=request),
    )


class Defect(Exception):
    """What only a defect raises."""


def fail() -> None:
    raise Defect


class Book:
    """Leases over a list of the permits that ended with them."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.leases = Leases(self.end)

    async def end(self, permit_id: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.ended.append(permit_id)


@pytest.fixture
def book() -> Book:
    return Book()


async def test_callers_without_a_token_share_nothing(book: Book) -> None:
    """One anonymous request can use neither the lease nor the request of another."""
    one, other = caller("r1"), caller("r2")
    lease = book.leases.open(one, 60)
    book.leases.attach(one, None, "p")

    for lease_id in (lease.id, "r1"):
        with pytest.raises(NotFound):
            book.leases.attach(other, lease_id, "q")

        with pytest.raises(NotFound):
            book.leases.on_end(other, lease_id, lambda: None)

    assert book.leases.attach(one, lease.id, "p2") == lease.id


async def test_a_token_uses_its_lease_in_another_request(book: Book) -> None:
    """A detached turn goes on in a later request of the same token, not of another."""
    lease = book.leases.open(caller("r1", "t"), 60)
    assert book.leases.attach(caller("r2", "t"), lease.id, "p") == lease.id

    with pytest.raises(NotFound):
        book.leases.attach(caller("r3", "u"), lease.id, "q")


async def test_a_requests_lease_goes_with_its_last_permit(book: Book) -> None:
    """Unless something waits for its end."""
    one = caller("r1")
    book.leases.attach(one, None, "p")
    book.leases.attach(one, None, "q")
    book.leases.detach("r1", "p")
    assert book.leases.has_open("r1")
    book.leases.detach("r1", "q")
    assert not book.leases.has_open("r1")
    book.leases.detach("r1", "q")
    told: list[str] = []
    book.leases.on_end(one, None, lambda: told.append("end"))
    book.leases.attach(one, None, "p")
    book.leases.detach("r1", "p")
    assert book.leases.has_open("r1")
    await book.leases.end("r1")
    await book.leases.end("r1")
    assert told == ["end"]


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, -math.inf])
async def test_no_life_is_no_lease(book: Book, seconds: float) -> None:
    """What is opened for no time can be used for nothing and is swept away."""
    one = caller("r1", "t")
    lease = book.leases.open(one, seconds)
    await anyio.lowlevel.checkpoint()

    with pytest.raises(NotFound):
        book.leases.attach(one, lease.id, "p")

    with pytest.raises(NotFound):
        book.leases.renew(lease.id, 60)

    await book.leases.end_expired()
    assert not book.leases.has_open(lease.id)


async def test_no_lease_is_for_ever(book: Book) -> None:
    """A day at most, at the opening and at each renewal."""
    lease = book.leases.open(caller("r1", "t"), math.inf)
    assert lease.expires_at <= time.time() + 86_400
    assert book.leases.renew(lease.id, 1e300).expires_at <= time.time() + 86_400


async def test_an_expired_lease_takes_its_permits_along(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep ends what nobody renewed and leaves what somebody did; no wall clock counts."""
    monkeypatch.setattr("spindle.leases._SWEEP_SECONDS", 0.001)
    one = caller("r1", "t")
    short, long = book.leases.open(one, 0.02), book.leases.open(one, 0.02)
    book.leases.attach(one, short.id, "p")
    book.leases.attach(one, long.id, "q")
    book.leases.renew(long.id, 60)
    monkeypatch.setattr(time, "time", lambda: 0.0)

    async with anyio.create_task_group() as group:
        group.start_soon(book.leases.run)

        with anyio.fail_after(5):
            while book.leases.has_open(short.id):
                await anyio.sleep(0.001)

        group.cancel_scope.cancel()

    assert book.ended == ["p"]
    assert book.leases.has_open(long.id)


async def test_a_cancelled_end_ends_everything(book: Book) -> None:
    """Who ends a lease and is cancelled meanwhile leaves no permit behind."""
    one = caller("r1")

    for number in range(5):
        book.leases.attach(one, None, f"p{number}")

    async with anyio.create_task_group() as group:
        group.start_soon(book.leases.end, "r1")
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()

    assert len(book.ended) == 5


async def test_a_failing_action_leaves_no_permit_open(book: Book) -> None:
    """The failure is seen, the permits end all the same."""
    one = caller("r1")
    book.leases.attach(one, None, "p")
    book.leases.on_end(one, None, fail)

    with pytest.raises(Defect):
        await book.leases.end("r1")

    assert book.ended == ["p"]


async def test_leases_ended_twice_at_once_end_once(book: Book) -> None:
    """Sweep, close and the request's own end may meet."""
    one = caller("r1", "t")
    lease = book.leases.open(one, 0.0)
    book.leases.attach(one, None, "p")

    async with anyio.create_task_group() as group:
        group.start_soon(book.leases.end, "r1")
        group.start_soon(book.leases.end, "r1")
        group.start_soon(book.leases.close)
        group.start_soon(book.leases.end_expired)

    assert book.ended == ["p"]
    assert not book.leases.has_open(lease.id)
