"""The output of a response, built from deltas of the lingua franca, with the events that tell it.

A whole answer is one big delta: so what a stream folds to and what unary gives cannot differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from spindle_llm.surfaces.responses.items import CallItem, Item, MessageItem, ReasoningItem

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

ItemT = TypeVar("ItemT", ReasoningItem, MessageItem)


class Output:
    """The items so far, in the order in which they began; all stay open until the end.

    A model may go on with an earlier one; whoever reads tells them apart by their index.
    """

    def __init__(self, suffix: str) -> None:
        """Begin; `suffix` makes the ids of its items its own."""
        self._suffix = suffix
        self._items: list[Item] = []
        self._by_name: dict[str, Item] = {}

    def take(self, delta: JsonObject, logprobs: Json = None) -> list[JsonObject]:
        """Return the events that a delta of the one choice stands for."""
        events = self._take_reasoning(delta)

        for channel, kind in (("content", "output_text"), ("refusal", "refusal")):
            text = delta.get(channel)

            # A token may stand for no text, and has its log probability all the same.
            has_tokens = kind == "output_text" and isinstance(logprobs, dict) and logprobs
            text = "" if text is None and has_tokens else text

            if isinstance(text, str) and (text or has_tokens):
                item = self._known("message", MessageItem, events)
                events += item.text(kind, text, logprobs)

        for number, call in enumerate(_objects(delta.get("tool_calls"))):
            events += self._take_call(call, f"call {call.get('index', number)}")

        return events

    def end(self, status: str) -> list[JsonObject]:
        """Return the events that end every item, in a status."""
        return [event for item in self._items for event in item.end(status)]

    def items(self) -> list[JsonObject]:
        """Return the items as they are now."""
        return [item.shown() for item in self._items]

    def message(self) -> JsonObject:
        """Return all of it as a message of the lingua franca, to go on from."""
        message: JsonObject = {"role": "assistant", "content": None}

        for item in self._items:
            item.add_to(message)

        return message

    def _take_reasoning(self, delta: JsonObject) -> list[JsonObject]:
        events: list[JsonObject] = []
        text = delta.get("reasoning_content") or delta.get("reasoning")
        details = _objects(delta.get("reasoning_details"))

        if not details and not (isinstance(text, str) and text):
            return events

        item = self._known("reasoning", ReasoningItem, events)

        if isinstance(text, str) and text:
            events += item.text(text)

        for entry in details:
            item.detail(entry)

        return events

    def _take_call(self, call: JsonObject, name: str) -> list[JsonObject]:
        known = self._by_name.get(name)

        if isinstance(known, CallItem):
            return known.take(call)

        prefix = "ctc" if call.get("type") == "custom" else CallItem.prefix
        item = CallItem(self._place(prefix), call)
        return [self._begin(name, item), *item.take(call)]

    def _known(self, name: str, kind: type[ItemT], events: list[JsonObject]) -> ItemT:
        known = self._by_name.get(name)

        if isinstance(known, kind):
            return known

        item = kind(self._place(kind.prefix))
        events.append(self._begin(name, item))
        return item

    def _place(self, prefix: str) -> tuple[str, int]:
        number = len(self._items)
        return f"{prefix}_{self._suffix}{number:02d}", number

    def _begin(self, name: str, item: Item) -> JsonObject:
        self._items.append(item)
        self._by_name[name] = item
        shown = item.shown()
        return {"type": "response.output_item.added", "output_index": item.index, "item": shown}


def _objects(value: Json) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
