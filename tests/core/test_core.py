"""The core assembled: opened whole or not at all, closed with nothing left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.config import load_settings
from spindle.core import Core
from spindle.store import Store
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target
from tests.core.heart import Heart, open_heart

if TYPE_CHECKING:
    from pathlib import Path


class Defect(Exception):
    """What only a defect raises."""


def fail(*_: object, **__: object) -> None:
    raise Defect


async def test_a_core_that_does_not_open_closes_its_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails after the store was opened."""
    closed: list[Store] = []
    real = Store.close

    async def close(store: Store) -> None:
        closed.append(store)
        await real(store)

    monkeypatch.setattr(Store, "close", close)
    monkeypatch.setattr("spindle.core.PluginPolicy", fail)

    with pytest.raises(Defect):
        await Core.open(load_settings(None, home=tmp_path, environ={}))

    assert len(closed) == 1


async def test_closing_ends_the_work_and_loses_nothing(tmp_path: Path) -> None:
    """What is open is settled as lost and written; nothing polls a closed store."""
    async with open_heart(tmp_path) as heart:
        caller = await heart.caller("red")
        target = Target(kind=Kind.MODEL, name="up~open")
        heart.core.admission.admit(caller, target, Action.EXECUTE)

        async with anyio.create_task_group() as group:
            group.start_soon(heart.core.run)
            await anyio.wait_all_tasks_blocked()

            with anyio.fail_after(5):
                await heart.core.close()

        assert heart.core.admission.has_open() == 0
        again = await Store.open(heart.core.settings.store_url)
        assert await again.usage.count() == 1
        await again.close()


async def test_the_store_is_closed_when_settling_fails(tmp_path: Path) -> None:
    """And the failure is seen."""
    async with open_heart(tmp_path) as heart:
        await _close_badly(heart)


async def _close_badly(heart: Heart) -> None:
    caller = await heart.caller("red")
    heart.core.leases.on_end(caller, None, fail)
    closed = anyio.Event()
    real = heart.core.store.close

    async def close() -> None:
        closed.set()
        await real()

    heart.core.store.close = close  # type: ignore[method-assign]

    with pytest.raises(Defect):
        await heart.core.close()

    assert closed.is_set()
