"""Sessions: the fake host keeps them as the core does."""

from __future__ import annotations

from dataclasses import replace

from spindle_spi.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from spindle_spi.session_event import SessionSpec
from tests.conformance.fakes.sides import Side, refused


async def test_sessions_belong_to_who_made_them(side: Side) -> None:
    """By person or by token; a stranger's is absent whatever they hold."""
    sessions = side.services().session_event
    ada, again = await side.caller(email="ada@x"), await side.caller(email="ada@x")
    eve, robot = await side.caller(email="eve@x"), await side.caller()
    session = await sessions.create_session(ada, SessionSpec(kind="llm.chat", key="k"))
    assert await sessions.get_session(again, session.id) == session
    assert await sessions.find_session(again, "llm.chat", "k") == session
    assert await sessions.find_session(eve, "llm.chat", "k") is None

    for stranger in (eve, robot):
        missing = (NotFound, "core.session.not_found", "The session does not exist.")
        assert await refused(sessions.get_session(stranger, session.id)) == missing
        assert await refused(sessions.replay_events(stranger, session.id)) == missing
        assert await refused(sessions.append_event(stranger, session.id, "x", {})) == missing
        assert not await sessions.validate_session_owner(stranger, session.id)
        assert not await sessions.delete_session(stranger, session.id)
        binding = await side.services().auth.validate_session_binding(stranger, session.id)
        assert not binding.allowed

    assert (await side.services().auth.validate_session_binding(ada, session.id)).allowed
    assert await sessions.delete_session(again, session.id)
    assert not await sessions.delete_session(ada, session.id)


async def test_a_session_is_a_log_without_gaps(side: Side) -> None:
    """A writer that expects another end is refused; replay gives what comes after."""
    sessions, ada = side.services().session_event, await side.caller(email="ada@x")
    session = await sessions.create_session(ada, SessionSpec(kind="llm.chat", data={"a": 1}))

    for number in range(3):
        event = await sessions.append_event(
            ada, session.id, f"e{number}", {"n": number}, expected_sequence=number
        )
        assert event.sequence == number + 1

    late = sessions.append_event(ada, session.id, "late", {}, expected_sequence=1)
    assert (await refused(late))[:2] == (Conflict, "core.session.sequence")
    replayed = await sessions.replay_events(ada, session.id, after=1, limit=1)
    assert [(event.sequence, event.data) for event in replayed] == [(2, {"n": 1})]
    stored = await sessions.get_session(ada, session.id)
    assert (stored.last_sequence, stored.data) == (3, {"a": 1})
    negative = sessions.replay_events(ada, session.id, limit=-1)
    assert (await refused(negative))[0] is InvalidArgument


async def test_a_session_replaces_the_one_of_its_name(side: Side) -> None:
    """The caller's own; one without a key replaces none, and each needs a life and an owner."""
    sessions, ada = side.services().session_event, await side.caller(email="ada@x")
    eve = await side.caller(email="eve@x")
    named, plain = SessionSpec(kind="llm.chat", key="k"), SessionSpec(kind="llm.chat")
    theirs = await sessions.create_session(eve, named)
    old = await sessions.create_session(ada, named)
    loose = [await sessions.create_session(ada, plain) for _ in range(2)]
    new = await sessions.create_session(ada, named)
    assert (await refused(sessions.get_session(ada, old.id)))[0] is NotFound
    assert await sessions.find_session(ada, "llm.chat", "k") == new

    for owner, session in ((eve, theirs), (ada, loose[0]), (ada, loose[1])):
        assert await sessions.validate_session_owner(owner, session.id)

    nobody = replace(ada, subject=replace(ada.subject, user_email=None, token_id=None))
    assert (await refused(sessions.create_session(nobody, plain)))[0] is PermissionDenied

    for ttl in (0.0, -1.0, 1e9):
        work = sessions.create_session(ada, replace(plain, ttl=ttl))
        assert (await refused(work))[0] is InvalidArgument
