"""The kinds of items of a response's output: each grows by deltas, and tells of it in events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from spindle_llm.surfaces.responses.reasoning import sealed

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


class Item(ABC):
    """One item that is open until the answer ends."""

    prefix: ClassVar[str]
    """How its id begins."""

    def __init__(self, place: tuple[str, int]) -> None:
        """Begin at a place: its id, and its index in the output."""
        self.id, self.index = place
        self.status = "in_progress"

    @abstractmethod
    def shown(self) -> JsonObject:
        """Return the item as it is now."""

    @abstractmethod
    def parts_done(self) -> list[JsonObject]:
        """Return the events that end its parts."""

    @abstractmethod
    def add_to(self, message: JsonObject) -> None:
        """Write what it holds into a message of the lingua franca."""

    def end(self, status: str) -> list[JsonObject]:
        """Return the events that end it, in a status."""
        events = self.parts_done()
        self.status = status
        done: JsonObject = {"output_index": self.index, "item": self.shown()}
        return [*events, {"type": "response.output_item.done", **done}]

    def event(self, kind: str, **fields: Json) -> JsonObject:
        """Return an event about this item."""
        return {
            "type": f"response.{kind}",
            "item_id": self.id,
            "output_index": self.index,
            **fields,
        }


class ReasoningItem(Item):
    """What the model thought, as a summary; signatures are sealed into it."""

    prefix: ClassVar[str] = "rs"

    def __init__(self, place: tuple[str, int]) -> None:
        super().__init__(place)
        self._text = ""
        self._details: dict[int, JsonObject] = {}

    def text(self, text: str) -> list[JsonObject]:
        """Take a piece of text."""
        events: list[JsonObject] = []

        if not self._text:
            part: JsonObject = {"type": "summary_text", "text": ""}
            events.append(self.event("reasoning_summary_part.added", summary_index=0, part=part))

        self._text += text
        delta = self.event("reasoning_summary_text.delta", summary_index=0, delta=text)
        return [*events, delta]

    def detail(self, entry: JsonObject) -> None:
        """Take a piece of a signed or encrypted block."""
        index = entry.get("index")
        known = self._details.setdefault(index if isinstance(index, int) else 0, {})

        for name, value in entry.items():
            old = known.get(name)
            grows = name in ("text", "signature", "data", "summary")

            if grows and isinstance(old, str) and isinstance(value, str):
                known[name] = old + value
            elif value is not None:
                known[name] = value

    def shown(self) -> JsonObject:
        """Return the item."""
        summary: list[Json] = [self._part()] if self._text else []
        item: JsonObject = {"id": self.id, "type": "reasoning", "summary": summary}
        content = sealed([*self._details.values()]) if self.status != "in_progress" else None

        if content is not None:
            item["encrypted_content"] = content

        return {**item, "status": self.status}

    def parts_done(self) -> list[JsonObject]:
        """Return the end of the summary."""
        if not self._text:
            return []

        return [
            self.event("reasoning_summary_text.done", summary_index=0, text=self._text),
            self.event("reasoning_summary_part.done", summary_index=0, part=self._part()),
        ]

    def add_to(self, message: JsonObject) -> None:
        """Write the reasoning of the message."""
        if self._text:
            message["reasoning_content"] = self._text

        if self._details:
            message["reasoning_details"] = [*self._details.values()]

    def _part(self) -> JsonObject:
        return {"type": "summary_text", "text": self._text}


class MessageItem(Item):
    """What the model said: a text, a refusal, or both."""

    prefix: ClassVar[str] = "msg"

    def __init__(self, place: tuple[str, int]) -> None:
        super().__init__(place)
        self._parts: dict[str, str] = {}
        """Texts by the type of their part, in the order in which they began."""
        self._logprobs: list[Json] = []

    def text(self, kind: str, text: str, logprobs: Json) -> list[JsonObject]:
        """Take a piece of a part of this type: `output_text` or `refusal`."""
        events: list[JsonObject] = []

        if kind not in self._parts:
            self._parts[kind] = ""
            added = self.event(
                "content_part.added", content_index=len(self._parts) - 1, part=self._part(kind)
            )
            events.append(added)

        self._parts[kind] += text
        index = [*self._parts].index(kind)
        fields: dict[str, Json] = {"content_index": index, "delta": text}

        if kind == "output_text":
            said = logprobs.get("content") if isinstance(logprobs, dict) else None
            entries = said if isinstance(said, list) else []
            self._logprobs += entries
            fields["logprobs"] = entries

        return [*events, self.event(f"{kind}.delta", **fields)]

    def shown(self) -> JsonObject:
        """Return the item."""
        content: list[Json] = []

        if self.status != "in_progress":
            content = [self._part(kind) for kind in self._parts]

        return {
            "id": self.id,
            "type": "message",
            "status": self.status,
            "role": "assistant",
            "content": content,
        }

    def parts_done(self) -> list[JsonObject]:
        """Return the end of each part."""
        events: list[JsonObject] = []

        for index, (kind, text) in enumerate(self._parts.items()):
            fields: dict[str, Json] = {"content_index": index}

            if kind == "output_text":
                fields |= {"text": text, "logprobs": self._logprobs}
            else:
                fields |= {"refusal": text}

            part = self._part(kind)
            events += [
                self.event(f"{kind}.done", **fields),
                self.event("content_part.done", content_index=index, part=part),
            ]

        return events

    def add_to(self, message: JsonObject) -> None:
        """Write the texts of the message."""
        if "output_text" in self._parts:
            message["content"] = self._parts["output_text"]

        if "refusal" in self._parts:
            message["refusal"] = self._parts["refusal"]

    def _part(self, kind: str) -> JsonObject:
        text = self._parts[kind]

        if kind == "refusal":
            return {"type": "refusal", "refusal": text}

        return {
            "type": "output_text",
            "text": text,
            "annotations": [],
            "logprobs": [*self._logprobs],
        }


class CallItem(Item):
    """A call of a tool: of a function, with JSON as text, or of a custom one, with any text."""

    prefix: ClassVar[str] = "fc"

    def __init__(self, place: tuple[str, int], first: JsonObject) -> None:
        """Begin with the delta that introduces the call."""
        super().__init__(place)
        self._is_custom = first.get("type") == "custom"
        self._call_id = _text(first.get("id"))
        self._name = _text(self._inner(first).get("name"))
        self._input = ""

    def take(self, call: JsonObject) -> list[JsonObject]:
        """Take a piece of the arguments."""
        piece = self._inner(call).get("input" if self._is_custom else "arguments")

        if not isinstance(piece, str) or not piece:
            return []

        self._input += piece
        kind = "custom_tool_call_input" if self._is_custom else "function_call_arguments"
        return [self.event(f"{kind}.delta", delta=piece)]

    def shown(self) -> JsonObject:
        """Return the item."""
        said = "" if self.status == "in_progress" else self._input
        kind, field = _CALL[self._is_custom]
        return {
            "id": self.id,
            "type": kind,
            "status": self.status,
            "call_id": self._call_id,
            "name": self._name,
            field: said,
        }

    def parts_done(self) -> list[JsonObject]:
        """Return the end of the arguments."""
        if self._is_custom:
            return [self.event("custom_tool_call_input.done", input=self._input)]

        arguments = self._input
        return [self.event("function_call_arguments.done", arguments=arguments, name=self._name)]

    def add_to(self, message: JsonObject) -> None:
        """Write the call into the message."""
        calls = message.setdefault("tool_calls", [])
        assert isinstance(calls, list)
        kind, field = ("custom", "input") if self._is_custom else ("function", "arguments")
        inner: JsonObject = {"name": self._name, field: self._input}
        calls.append({"id": self._call_id, "type": kind, kind: inner})

    def _inner(self, call: JsonObject) -> JsonObject:
        inner = call.get("custom" if self._is_custom else "function")
        return inner if isinstance(inner, dict) else {}


_CALL = {True: ("custom_tool_call", "input"), False: ("function_call", "arguments")}


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
