"""What takes long is told so, once; what is over by then hears nothing and is not kept."""

from __future__ import annotations

import anyio
import pytest

from spindle_transport.patience import Patience

pytestmark = pytest.mark.anyio


class Call:
    """Something that may take long."""

    def __init__(self) -> None:
        self.is_over = False
        self.told = 0
        self.is_told = anyio.Event()

    def late(self) -> None:
        self.told += 1
        self.is_told.set()


async def test_late() -> None:
    """Each one that is not over is told, in the order in which they began."""
    patience, calls = Patience(0.01), [Call() for _ in range(4)]

    for call in calls:
        patience.add(call)

    calls[1].is_over = True

    with anyio.fail_after(10):
        for call in (calls[0], calls[2], calls[3]):
            await call.is_told.wait()

    assert [call.told for call in calls] == [1, 0, 1, 1]
    assert len(patience) == 0


async def test_later() -> None:
    """One that began while others waited is told as well."""
    patience, first, second = Patience(0.3), Call(), Call()
    patience.add(first)
    await anyio.sleep(0.15)
    patience.add(second)

    with anyio.fail_after(10):
        await first.is_told.wait()
        await second.is_told.wait()

    assert (first.told, second.told) == (1, 1)


async def test_again() -> None:
    """It goes on after a time in which there was nothing to do."""
    patience = Patience(0.005)

    for _ in range(3):
        call = Call()
        patience.add(call)

        with anyio.fail_after(10):
            await call.is_told.wait()

    assert len(patience) == 0
