"""OpenAI's Responses surface as its SDK reads it: numbered events, and items they tell of."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, ClassVar

from spindle_conformance.parity.readers.base import (
    Event,
    Reader,
    Streamed,
    events_of,
    inner,
    object_of,
    objects,
    text,
    whole_number,
)
from spindle_conformance.parity.readers.chat import redacted_of, signatures_of
from spindle_conformance.parity.said import Said, SaidCall, SaidChoice, SaidUsage, meant, require

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_ENDS = ("response.completed", "response.incomplete", "response.failed")
_TEXTS = {
    "response.output_text": ("content_index", "text"),
    "response.refusal": ("content_index", "refusal"),
    "response.reasoning_summary_text": ("summary_index", "text"),
    "response.function_call_arguments": ("", "arguments"),
    "response.custom_tool_call_input": ("", "input"),
}
"""What is told in deltas: by which index of an item, and which member its end repeats whole."""


class ResponsesReader(Reader):
    """`/v1/responses`."""

    surface: ClassVar[str] = "responses"

    def whole(self, body: bytes) -> Said:
        """Return what a `response` says."""
        return _said(object_of(body, "an answer is a JSON object"))

    def stream(self, body: bytes) -> Streamed:
        """Return what the last event says, once all before it have been held against it."""
        fold = _Fold()
        events = events_of(body)

        for number, event in enumerate(events):
            data = event.json()
            require(event.name == data.get("type"), "an event is named by its type", event)
            require(data.get("sequence_number") == number, "events are numbered from 0", event)
            fold.add(event, data)

        return fold.streamed()


class _Fold:
    def __init__(self) -> None:
        self._kinds: list[str] = []
        self._items: dict[int, JsonObject] = {}
        self._done: dict[int, JsonObject] = {}
        self._deltas: dict[tuple[Json, ...], str] = {}
        self._parts: set[tuple[Json, ...]] = set()
        self._last: JsonObject = {}

    def add(self, event: Event, data: JsonObject) -> None:
        kind = event.name
        require(not self._kinds or self._kinds[-1] not in _ENDS, "nothing follows the end", kind)
        self._kinds.append(kind)

        if kind.startswith("response.") and kind.count(".") == 1:
            self._last = inner(data, "response")
            return

        if kind == "error":
            require(text(data.get("message")), "an error says what it is", data)
            return

        index = data.get("output_index")
        require(isinstance(index, int), "an event says of which item it is", data)
        assert isinstance(index, int)

        match kind.rpartition(".")[2]:
            case "added" if kind == "response.output_item.added":
                require(index == len(self._items), "items are counted from 0", data)
                self._items[index] = inner(data, "item")
            case "done" if kind == "response.output_item.done":
                self._end_item(index, inner(data, "item"))
            case "added":
                self._parts.add(self._place(index, data, "part"))
            case "delta":
                self._add_delta(index, data, kind.removesuffix(".delta"))
            case "done":
                self._end(index, data, kind)
            case _:
                require(False, "an event is one that clients know", kind)

    def streamed(self) -> Streamed:
        kinds = self._kinds
        require(bool(kinds) and kinds[-1] in _ENDS, "a stream ends as a response does", kinds[-1:])
        failed = kinds[-1] == "response.failed"

        if not failed or len(kinds) > 2:
            begins = ["response.created", "response.in_progress"]
            require(kinds[:2] == begins, "a response is created, then in progress", kinds[:2])

        if not failed:
            output = objects(self._last.get("output"), "output is a list of items")
            require([*self._done.values()] == output, "the output is the items that were told")
            require(len(self._items) == len(output), "every item comes to its end")

        return Streamed(said=_said(self._last, is_over=not failed), failed=failed)

    def _place(self, index: int, data: JsonObject, *more: Json) -> tuple[Json, ...]:
        item = self._items.get(index)
        require(item is not None, "an item is added first", data)
        require(index not in self._done, "nothing follows the end of an item", data)
        assert item is not None
        require(data.get("item_id") == item.get("id"), "an event names its item", data)
        return (index, data.get("content_index"), data.get("summary_index"), *more)

    def _add_delta(self, index: int, data: JsonObject, name: str) -> None:
        require(name in _TEXTS, "a delta is one that clients know", name)
        place = self._place(index, data)

        if _TEXTS[name][0]:
            require((*place, "part") in self._parts, "a part is added first", data)

        self._deltas[*place, name] = self._deltas.get((*place, name), "") + text(data["delta"])

    def _end(self, index: int, data: JsonObject, kind: str) -> None:
        name = kind.removesuffix(".done")
        place = self._place(index, data)

        if name in _TEXTS:
            told = self._deltas.get((*place, name), "")
            require(data.get(_TEXTS[name][1]) == told, "the end repeats what was told", data)
        else:
            require((*place, "part") in self._parts, "a part is added before it ends", data)

    def _end_item(self, index: int, item: JsonObject) -> None:
        require(index in self._items and index not in self._done, "an item ends once", item)
        first = self._items[index]
        require(
            (first.get("id"), first.get("type")) == (item.get("id"), item.get("type")),
            "an item stays what it is",
            item,
        )
        self._done[index] = item


def _said(response: JsonObject, *, is_over: bool = True) -> Said:
    require(response.get("object") == "response", "object is response", response)
    require(isinstance(response.get("id"), str), "a response has an id", response)
    status = response.get("status")

    if is_over:
        require(status in ("completed", "incomplete"), "a response is over", status)

    output = objects(response.get("output") or [], "output is a list of items")
    choice = _choice(output)
    details = response.get("incomplete_details")
    reason = text(details.get("reason")) if isinstance(details, dict) else ""
    finish = {"": "tool_calls" if choice.calls else "stop", "max_output_tokens": "length"}
    return Said(
        model=text(response.get("model")),
        choices=(
            SaidChoice(
                text=choice.text,
                reasoning=choice.reasoning,
                refusal=choice.refusal,
                calls=choice.calls,
                signatures=choice.signatures,
                redacted=choice.redacted,
                tokens=choice.tokens,
                finish=finish.get(reason, reason) if is_over else "",
            ),
        ),
        usage=_usage(response.get("usage")),
    )


def _choice(output: list[JsonObject]) -> SaidChoice:
    texts = {"output_text": "", "refusal": "", "summary_text": ""}
    calls: list[SaidCall] = []
    details: list[JsonObject] = []
    tokens: list[str] = []

    for item in output:
        match item.get("type"):
            case "message":
                for part in objects(item.get("content"), "content is a list of parts"):
                    kind = text(part.get("type"))
                    texts[kind] += text(part.get("text")) + text(part.get("refusal"))
                    entries = objects(part.get("logprobs") or [], "logprobs are objects")
                    tokens += [text(entry.get("token")) for entry in entries]
            case "reasoning":
                for part in objects(item.get("summary"), "a summary is a list of parts"):
                    texts["summary_text"] += text(part.get("text"))

                details += _unsealed(text(item.get("encrypted_content")))
            case "function_call":
                arguments = meant(text(item.get("arguments")))
                name, call_id = text(item.get("name")), text(item.get("call_id"))
                calls.append(SaidCall(id=call_id, name=name, arguments=arguments))
            case kind:
                require(False, "an item is one that a chat can say", kind)

    return SaidChoice(
        text=texts["output_text"],
        reasoning=texts["summary_text"],
        refusal=texts["refusal"],
        calls=tuple(calls),
        signatures=signatures_of(details),
        redacted=redacted_of(details),
        tokens=tuple(tokens),
    )


def _unsealed(content: str) -> list[JsonObject]:
    """Return what a gateway sealed for the way through its client, when it can be looked into."""
    head, _, sealed = content.rpartition(".")

    if not head:
        return []

    value: Json = json.loads(base64.urlsafe_b64decode(sealed))
    details = value.get("details") if isinstance(value, dict) else None
    return objects(details or [], "details are objects")


def _usage(usage: Json) -> SaidUsage | None:
    if not isinstance(usage, dict):
        return None

    taken, given = whole_number(usage.get("input_tokens")), whole_number(usage.get("output_tokens"))
    require(usage.get("total_tokens") == taken + given, "tokens add up", usage)
    prompt, completion = inner(usage, "input_tokens_details"), inner(usage, "output_tokens_details")
    return SaidUsage(
        prompt=taken,
        completion=given,
        cached=whole_number(prompt.get("cached_tokens")),
        cache_write=whole_number(prompt.get("cache_write_tokens")),
        reasoning=whole_number(completion.get("reasoning_tokens")),
    )
