"""The event log of a chat, folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.chat.history import UNKNOWN_OUTCOME, EventType, fold
from spindle_spi.session_event import SessionEvent

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

LONG = 1000


def _log(*entries: tuple[EventType, JsonObject]) -> list[SessionEvent]:
    return [
        SessionEvent(sequence=number, type=kind.value, at=float(number), data=data)
        for number, (kind, data) in enumerate(entries, start=1)
    ]


def _user(text: str) -> tuple[EventType, JsonObject]:
    return EventType.USER, {"content": text}


def _assistant(text: str | None, *, calls_tools: bool = False) -> tuple[EventType, JsonObject]:
    data: JsonObject = {"content": text}
    return EventType.ASSISTANT, {**data, "calls_tools": True} if calls_tools else data


def _call(call_id: str, name: str = "add") -> tuple[EventType, JsonObject]:
    return EventType.TOOL_CALL, {"id": call_id, "name": name, "arguments": "{}"}


def _result(call_id: str, content: str) -> tuple[EventType, JsonObject]:
    return EventType.TOOL_RESULT, {"id": call_id, "content": content}


FAILED: tuple[EventType, JsonObject] = (EventType.FAILED, {"reason": "timeout"})


def test_questions_and_answers_become_messages_in_order() -> None:
    """Finished turns are told whole; nothing is open."""
    events = _log(
        (EventType.CONNECTED, {}), _user("a"), _assistant("b"), _user("c"), _assistant("d")
    )
    history = fold(events, max_messages=LONG)

    assert [message["content"] for message in history.messages] == ["a", "b", "c", "d"]
    assert history.last_sequence == 5
    assert history.open_since is None


def test_results_stand_in_the_order_of_their_calls() -> None:
    """Results are written down as they come and told as the model asked for them."""
    history = fold(
        _log(
            _user("a"),
            _assistant(None, calls_tools=True),
            _call("one"),
            _call("two"),
            _result("two", "2"),
            _result("one", "1"),
            _assistant("b"),
        ),
        max_messages=LONG,
    )
    roles = [(message["role"], message.get("tool_call_id")) for message in history.messages]

    assert roles == [
        ("user", None),
        ("assistant", None),
        ("tool", "one"),
        ("tool", "two"),
        ("assistant", None),
    ]


def test_a_call_without_a_result_is_unknown_and_stays() -> None:
    """A turn that died after calling a tool is kept, so that the model knows of the call."""
    history = fold(
        _log(_user("a"), _assistant("hm", calls_tools=True), _call("one"), FAILED, _user("b")),
        max_messages=LONG,
    )

    assert [message["role"] for message in history.messages] == ["user", "assistant", "tool"]
    assert history.messages[-1]["content"] == UNKNOWN_OUTCOME


def test_a_turn_that_failed_before_it_did_anything_is_forgotten() -> None:
    """The same question may be asked again without standing there twice."""
    history = fold(
        _log(_user("a"), FAILED, _user("b"), _assistant(None, calls_tools=True), FAILED),
        max_messages=LONG,
    )

    assert history.messages == ()
    assert history.open_since is None


def test_a_running_turn_is_open_since_its_last_event() -> None:
    """Whoever reads a log in the middle of a turn sees when it last did something."""
    history = fold(_log(_user("a"), _assistant(None, calls_tools=True)), max_messages=LONG)

    assert history.open_since == 2.0


def test_a_late_result_does_not_close_a_turn() -> None:
    """Only an answer or a failure ends a turn."""
    log = _log(_user("a"), _assistant(None, calls_tools=True), _call("one"), _result("one", "1"))

    assert fold(log, max_messages=LONG).open_since == 4.0


def test_only_whole_turns_are_cut_away() -> None:
    """Of more messages than fit, the oldest turns go; no result is left without its call."""
    log = _log(
        _user("a"), _assistant(None, calls_tools=True), _call("one"), _result("one", "1"),
        _assistant("b"), _user("c"), _assistant("d"),
    )  # fmt: skip

    assert [m["content"] for m in fold(log, max_messages=5).messages] == ["c", "d"]
    assert len(fold(log, max_messages=6).messages) == 6


def test_a_log_that_begins_inside_a_turn_is_read_from_the_next_one() -> None:
    """Old events may be left out of a replay."""
    log = _log(_result("one", "1"), _assistant("b"), _user("c"), _assistant("d"))

    assert [message["content"] for message in fold(log, max_messages=9).messages] == ["c", "d"]


def test_a_log_that_begins_inside_a_running_turn_is_open() -> None:
    """A turn longer than what is read is still seen to be running."""
    assert fold(_log(_call("one"), _result("one", "1")), max_messages=9).open_since == 2.0


def test_an_empty_log_says_nothing() -> None:
    """No events, no history."""
    assert fold([], max_messages=9).last_sequence == 0


def test_results_without_a_round_are_ignored() -> None:
    """A log that makes no sense is not made sense of."""
    log = _log(_user("a"), _call("one"), _result("one", "1"))

    assert fold(log, max_messages=9).messages == ()
