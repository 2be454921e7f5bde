"""Sessions: a stranger's is absent, whoever asks and however."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from spindle_spi.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, Unavailable
from spindle_spi.session_event import SessionSpec
from tests.core.heart import Heart, open_heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.context import AuthenticatedContext

SPEC = SessionSpec(kind="llm.chat", key="k")


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path) as heart:
        yield heart


async def strangers(heart: Heart) -> list[AuthenticatedContext]:
    return [
        await heart.caller("red"),
        await heart.caller("red", user_email="bob@example.org"),
        await heart.caller(admin=True, role="platform_admin"),
        heart.resolve(None, "lobby"),
    ]


async def test_a_strangers_session_is_absent(heart: Heart) -> None:
    """To another token, another person, an administrator and nobody: the same as no session."""
    sessions = heart.core.sessions
    owner = await heart.caller("red", user_email="ann@example.org")
    session = await sessions.create_session(owner, SPEC)
    await sessions.append_event(owner, session.id, "x", {})

    for stranger in await strangers(heart):
        for session_id in (session.id, "ses_none"):
            errors: list[object] = []

            for call in (
                sessions.get_session(stranger, session_id),
                sessions.append_event(stranger, session_id, "x", {}),
                sessions.replay_events(stranger, session_id),
            ):
                with pytest.raises(NotFound) as caught:
                    await call

                errors.append(caught.value.envelope())

            assert errors == [errors[0]] * 3
            assert not await sessions.validate_session_owner(stranger, session_id)
            assert not await sessions.delete_session(stranger, session_id)

        assert await sessions.find_session(stranger, "llm.chat", "k") is None

    assert await sessions.validate_session_owner(owner, session.id)
    assert await sessions.find_session(owner, "llm.chat", "k") is not None
    assert len(await sessions.replay_events(owner, session.id)) == 1
    assert await sessions.delete_session(owner, session.id)
    assert not await sessions.delete_session(owner, session.id)


async def test_a_service_token_owns_its_sessions(heart: Heart) -> None:
    """And is not mistaken for a person of that name."""
    sessions = heart.core.sessions
    token = await heart.caller("red")
    session = await sessions.create_session(token, SPEC)
    twin = await heart.caller("red", user_email=token.subject.token_id)
    assert await sessions.validate_session_owner(token, session.id)
    assert not await sessions.validate_session_owner(twin, session.id)


async def test_nobody_without_a_token_makes_sessions(heart: Heart) -> None:
    """All of those would be one caller."""
    with pytest.raises(PermissionDenied):
        await heart.core.sessions.create_session(heart.resolve(None, "lobby"), SPEC)


@pytest.mark.parametrize("ttl", [0.0, -1.0, math.nan, math.inf])
async def test_a_session_has_a_life(heart: Heart, ttl: float) -> None:
    """No session for ever, none for no time."""
    with pytest.raises(InvalidArgument):
        await heart.core.sessions.create_session(
            await heart.caller("red"), SessionSpec(kind="x", ttl=ttl)
        )


async def test_replay_is_bounded(heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
    """A negative limit is no way round it."""
    monkeypatch.setattr("spindle.services.session_event._MAX_REPLAY", 3)
    sessions = heart.core.sessions
    owner = await heart.caller("red")
    session = await sessions.create_session(owner, SPEC)

    for number in range(5):
        await sessions.append_event(owner, session.id, "x", {"n": number})

    replay = sessions.replay_events
    assert [e.sequence for e in await replay(owner, session.id, limit=10**9)] == [1, 2, 3]
    assert [e.sequence for e in await replay(owner, session.id, after=3, limit=1)] == [4]
    assert await replay(owner, session.id, limit=0) == ()

    for after, limit in ((0, -1), (-1, 1), (2**63, 1)):
        with pytest.raises(InvalidArgument):
            await replay(owner, session.id, after=after, limit=limit)


async def test_who_comes_second_is_told(heart: Heart, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sequence that moved on is a conflict; a session that went meanwhile is absent."""
    sessions = heart.core.sessions
    owner = await heart.caller("red")
    session = await sessions.create_session(owner, SPEC)
    await sessions.append_event(owner, session.id, "x", {}, expected_sequence=0)

    with pytest.raises(Conflict):
        await sessions.append_event(owner, session.id, "x", {}, expected_sequence=0)

    store = heart.core.store.sessions
    real = store.append

    async def append(*args: object, **options: object) -> object:
        await store.delete(session.id)
        return await real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "append", append)

    with pytest.raises(NotFound):
        await sessions.append_event(owner, session.id, "x", {})


async def test_a_session_is_bound_to_a_credential_in_force(heart: Heart) -> None:
    """Owner and live token; a revoked one, a stranger's: no, with a reason for the log."""
    auth = heart.core.services_for("llm").auth
    owner = await heart.caller("red")
    session = await heart.core.sessions.create_session(owner, SPEC)
    assert (await auth.validate_session_binding(owner, session.id)).allowed
    stranger = await heart.caller("red")
    assert not (await auth.validate_session_binding(stranger, session.id)).allowed
    assert owner.subject.token_id is not None
    await heart.core.store.tokens.revoke(owner.subject.token_id)
    await heart.core.snapshots.refresh()
    assert not (await auth.validate_session_binding(owner, session.id)).allowed


async def test_a_store_that_fails_is_unavailable(heart: Heart) -> None:
    """The caller is told to come back, not what the database said."""
    sessions = heart.core.sessions
    owner = await heart.caller("red")
    session = await sessions.create_session(owner, SPEC)

    async with heart.core.store.database.writing() as connection:
        await connection.exec_driver_sql("alter table sessions rename to lost")

    for call in (
        sessions.create_session(owner, SPEC),
        sessions.get_session(owner, session.id),
        sessions.find_session(owner, "llm.chat", "k"),
        sessions.append_event(owner, session.id, "x", {}),
        sessions.replay_events(owner, session.id),
        sessions.delete_session(owner, session.id),
    ):
        with pytest.raises(Unavailable) as caught:
            await call

        assert caught.value.retry_after
        assert "sessions" not in caught.value.message
