"""What is read of a response that is kept, whoever works on it."""

from __future__ import annotations

import time

import pytest

from spindle_conformance.fakes import FakeSessions, caller
from spindle_conformance.fakes.refusals import Refusals
from spindle_llm.surfaces.responses.store import KIND, ResponseStore
from spindle_spi.session_event import SessionSpec

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_what_was_cancelled_says_so_before_its_end_is_written(is_cancelled: bool) -> None:
    """Whoever asked to cancel it was told that it is; nobody may read anything else after that."""
    sessions = FakeSessions(refusals=Refusals(), clock=time.time)
    store, context = ResponseStore(sessions, ttl=60.0), caller("ada")
    data = {"response": {"id": "resp_1", "status": "queued", "background": True}}
    spec = SessionSpec(kind=KIND, key="resp_1", ttl=60.0, data=data)  # type: ignore[arg-type]
    session = await sessions.create_session(context, spec)

    if is_cancelled:
        await store.cancel(context, session)

    found = await store.find(context, "resp_1")
    assert found.shown["status"] == ("cancelled" if is_cancelled else "queued")
    assert found.is_over is is_cancelled
