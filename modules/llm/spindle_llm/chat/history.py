"""A session's event log, folded into the messages a model is sent.

A turn begins with `user` and is over with an `assistant` that calls no tool, or with `failed`.
Between them stand `assistant`, `tool_call` and `tool_result`. A call whose result never came is
shown to the model as unknown; it is not made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.session_event import SessionEvent

UNKNOWN_OUTCOME = "The outcome of this call is unknown: it was begun and never reported."


class EventType(StrEnum):
    """The events of a chat session."""

    CONNECTED = "connected"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a log says."""

    messages: tuple[JsonObject, ...] = ()
    """In OpenAI's form; tool results stand in the order of their calls."""
    last_sequence: int = 0
    open_since: float | None = None
    """When the last turn last did something, if it is not over."""


def fold(events: Sequence[SessionEvent], *, max_messages: int) -> History:
    """Return the history an event log tells, cut to its last whole turns."""
    turns: list[_Turn] = []
    open_since: float | None = None

    for event in events:
        if event.type == EventType.USER:
            turns.append(_Turn(event))

        if turns:
            turns[-1].take(event)

        open_since = None if _ends_turn(event) else event.at

    groups = [turn.messages() for turn in turns]
    return History(
        messages=tuple(_last_turns(groups, max_messages)),
        last_sequence=events[-1].sequence if events else 0,
        open_since=open_since,
    )


def assistant_message(content: str | None, calls: Sequence[JsonObject]) -> JsonObject:
    """Return an assistant's message; `calls` are the data of its `tool_call` events."""
    message: JsonObject = {"role": "assistant", "content": content}

    if calls:
        message["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in calls
        ]

    return message


def tool_message(call_id: Json, content: Json) -> JsonObject:
    """Return the message that tells a model what a call gave."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def _ends_turn(event: SessionEvent) -> bool:
    """Tell whether no turn is running after this event."""
    if event.type == EventType.ASSISTANT:
        return event.data.get("calls_tools") is not True

    return event.type in (EventType.CONNECTED, EventType.FAILED)


class _Round:
    """One answer of the model with its calls and their results."""

    def __init__(self, content: str | None, *, is_answer: bool) -> None:
        self.content = content
        self.is_answer = is_answer
        """Whether it ends the turn: it calls no tool."""
        self.calls: list[JsonObject] = []
        self.results: dict[Json, Json] = {}


class _Turn:
    """One message of the user and everything that followed from it."""

    def __init__(self, event: SessionEvent) -> None:
        self._user: JsonObject = {"role": "user", "content": event.data.get("content")}
        self._rounds: list[_Round] = []

    def take(self, event: SessionEvent) -> None:
        """Take the next event of this turn."""
        data = event.data

        if event.type == EventType.ASSISTANT:
            content = data.get("content")
            text = content if isinstance(content, str) else None
            self._rounds.append(_Round(text, is_answer=_ends_turn(event)))
        elif event.type == EventType.TOOL_CALL and self._rounds:
            self._rounds[-1].calls.append(data)
        elif event.type == EventType.TOOL_RESULT and self._rounds:
            self._rounds[-1].results[data.get("id")] = data.get("content")

    def messages(self) -> list[JsonObject]:
        """Return the turn's messages; a turn that did nothing before it failed leaves none."""
        told = [entry for entry in self._rounds if entry.is_answer or entry.calls]

        if not told:
            return []

        messages = [self._user]

        for entry in told:
            messages.append(assistant_message(entry.content, entry.calls))
            messages += [
                tool_message(call["id"], entry.results.get(call["id"], UNKNOWN_OUTCOME))
                for call in entry.calls
            ]

        return messages


def _last_turns(groups: Sequence[list[JsonObject]], max_messages: int) -> list[JsonObject]:
    """Return the newest whole turns that fit; never a tool's result without its call."""
    kept: list[JsonObject] = []

    for group in reversed(groups):
        if len(kept) + len(group) > max_messages:
            break

        kept = [*group, *kept]

    return kept
