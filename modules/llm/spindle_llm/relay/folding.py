"""Folding: the chunks of a stream, put together, are the answer that unary would have given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.relay.reasoning import DETAILS, merge_details

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_OF_THE_END = ("native_finish_reason", "stop_reason")
"""Members of a choice that say more of its end."""
_APART = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})


class Fold:
    """Takes the chunks of one stream, in order."""

    def __init__(self) -> None:
        self._head: JsonObject = {}
        self._rest: JsonObject = {}
        self._usage: Json = None
        self._choices: dict[int, _FoldedChoice] = {}

    def add(self, chunk: JsonObject) -> None:
        """Take the next chunk."""
        for name in ("id", "created", "model"):
            if name in chunk:
                self._head.setdefault(name, chunk[name])

        for name, value in chunk.items():
            if name not in _APART and value is not None:
                self._rest[name] = value

        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]

        for entry in _objects(chunk.get("choices")):
            index = entry.get("index")
            index = index if isinstance(index, int) else 0
            self._choices.setdefault(index, _FoldedChoice()).add(entry)

    def answer(self) -> JsonObject:
        """Return the answer so far, in OpenAI's form."""
        choices: list[Json] = [
            choice.folded(index) for index, choice in sorted(self._choices.items())
        ]
        answer: JsonObject = {
            "id": self._head.get("id"),
            "object": "chat.completion",
            "created": self._head.get("created"),
            "model": self._head.get("model"),
            "choices": choices,
            **self._rest,
        }

        if self._usage is not None:
            answer["usage"] = self._usage

        return answer


class _FoldedChoice:
    """One choice so far."""

    def __init__(self) -> None:
        self._message: JsonObject = {"role": "assistant", "content": None}
        self._calls: dict[int, JsonObject] = {}
        self._logprobs: JsonObject = {}
        self._finish: Json = None
        self._end: JsonObject = {}

    def add(self, entry: JsonObject) -> None:
        delta = entry.get("delta")

        for name, value in delta.items() if isinstance(delta, dict) else ():
            if name == "tool_calls":
                for call in _objects(value):
                    self._add_call(call)
            elif name == DETAILS:
                merge_details(self._message, value)
            else:
                _merge(self._message, name, value)

        logprobs = entry.get("logprobs")

        for name, value in logprobs.items() if isinstance(logprobs, dict) else ():
            _merge(self._logprobs, name, value)

        self._finish = entry.get("finish_reason") or self._finish

        for name in _OF_THE_END:
            if entry.get(name) is not None:
                self._end[name] = entry[name]

    def folded(self, index: int) -> JsonObject:
        message = dict(self._message)

        if self._calls:
            message["tool_calls"] = [call for _, call in sorted(self._calls.items())]
            # Streams open a message with an empty text; an answer that only calls has none.
            message["content"] = message["content"] or None

        return {
            "index": index,
            "message": message,
            "logprobs": self._logprobs or None,
            "finish_reason": self._finish,
            **self._end,
        }

    def _add_call(self, delta: JsonObject) -> None:
        index = delta.get("index")
        call = self._calls.setdefault(index if isinstance(index, int) else 0, {})

        for name, value in delta.items():
            if name != "index":
                _merge(call, name, value)


def _merge(into: JsonObject, name: str, value: Json) -> None:
    """Add a piece: texts and lists grow, objects merge, a role is said once."""
    old = into.get(name)

    if value is None:
        into.setdefault(name, None)
    elif isinstance(old, str) and isinstance(value, str) and name not in ("role", "type", "id"):
        into[name] = old + value
    elif isinstance(old, list) and isinstance(value, list):
        into[name] = [*old, *value]
    elif isinstance(old, dict) and isinstance(value, dict):
        for key, entry in value.items():
            _merge(old, key, entry)
    else:
        into[name] = value


def _objects(value: Json) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
