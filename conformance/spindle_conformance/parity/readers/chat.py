"""OpenAI's chat surface as its SDKs read it; each rule was once somebody's broken client."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from spindle_conformance.parity.readers.base import (
    Reader,
    Streamed,
    events_of,
    inner,
    object_of,
    objects,
    text,
    whole_number,
)
from spindle_conformance.parity.said import Said, SaidCall, SaidChoice, SaidUsage, meant, require

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class ChatReader(Reader):
    """`/v1/chat/completions`."""

    surface: ClassVar[str] = "chat"

    def whole(self, body: bytes) -> Said:
        """Return what a `chat.completion` says."""
        answer = object_of(body, "an answer is a JSON object")
        require(answer.get("object") == "chat.completion", "object is chat.completion", answer)
        require(isinstance(answer.get("id"), str), "an answer has an id", answer)
        require(isinstance(answer.get("created"), int), "an answer says when it was made", answer)
        choices = objects(answer.get("choices"), "choices is a list of objects")
        require(
            [choice.get("index") for choice in choices] == list(range(len(choices))),
            "choices are counted from 0",
            choices,
        )
        return Said(
            model=text(answer.get("model")),
            choices=tuple(_whole_choice(choice) for choice in choices),
            usage=usage_of(answer.get("usage")),
        )

    def stream(self, body: bytes) -> Streamed:
        """Return what chunks say, put together."""
        fold = _Fold()
        events = events_of(body)
        require(bool(events), "a stream has events")
        *chunks, last = events
        failed = last.data != "[DONE]"

        if failed:
            require("error" in last.json(), "a stream ends in [DONE] or in an error", last.data)
            error = inner(last.json(), "error")
            require(
                set(error) == {"message", "type", "param", "code"},
                "an error has its four members",
                error,
            )

        for event in chunks:
            require(not event.name, "chunks have no event name", event.name)
            require(event.data != "[DONE]", "nothing follows [DONE]")
            fold.add(event.json())

        return Streamed(said=fold.said(failed=failed), failed=failed)


class _Fold:
    def __init__(self) -> None:
        self._head: tuple[Json, ...] | None = None
        self._choices: dict[int, _Choice] = {}
        self._usage: SaidUsage | None = None

    def add(self, chunk: JsonObject) -> None:
        require("error" not in chunk, "an error is the last event", chunk)
        require(chunk.get("object") == "chat.completion.chunk", "object is that of a chunk", chunk)
        require(self._usage is None, "nothing follows the usage", chunk)
        head = (chunk.get("id"), chunk.get("created"), chunk.get("model"))
        require(all(head), "every chunk has id, created and model", chunk)
        self._head = self._head or head
        require(head == self._head, "id, created and model never change", (head, self._head))
        choices = objects(chunk.get("choices"), "choices is a list of objects")

        if not choices and isinstance(chunk.get("usage"), dict):
            self._usage = usage_of(chunk["usage"])
            return

        require(chunk.get("usage") is None, "the usage is alone in its chunk", chunk)

        for entry in choices:
            index = entry.get("index")
            require(isinstance(index, int), "a choice has an index", entry)
            assert isinstance(index, int)
            self._choices.setdefault(index, _Choice()).add(entry)

    def said(self, *, failed: bool) -> Said:
        indexes = sorted(self._choices)
        require(indexes == list(range(len(indexes))), "choices are counted from 0", indexes)

        if not failed:
            require(
                all(choice.finish for choice in self._choices.values()),
                "every choice has its reason to end",
            )

        return Said(
            model=text(self._head[2]) if self._head else "",
            choices=tuple(self._choices[index].said() for index in indexes),
            usage=self._usage,
        )


class _Choice:
    def __init__(self) -> None:
        self.finish = ""
        self._texts = {"content": "", "reasoning_content": "", "reasoning": "", "refusal": ""}
        self._calls: list[JsonObject] = []
        self._details: dict[int, JsonObject] = {}
        self._tokens: list[str] = []
        self._is_begun = False

    def add(self, entry: JsonObject) -> None:
        require(not self.finish, "the reason to end is on the last chunk of a choice", entry)
        delta = inner(entry, "delta")
        require(
            (delta.get("role") == "assistant") is not self._is_begun,
            "the role is said once, first",
            delta,
        )
        self._is_begun = True

        for name in self._texts:
            self._texts[name] += text(delta.get(name))

        for call in objects(delta.get("tool_calls") or [], "tool_calls is a list of objects"):
            self._add_call(call)

        for detail in objects(delta.get("reasoning_details") or [], "details are objects"):
            add_detail(self._details, detail)

        self._tokens += tokens_of(entry.get("logprobs"))
        finish = entry.get("finish_reason")

        if finish is not None:
            require(finish in _FINISHES, "a reason to end is one that clients know", finish)
            self.finish = text(finish)

    def said(self) -> SaidChoice:
        calls = tuple(_call(call) for call in self._calls)

        if calls and self.finish:
            require(self.finish != "stop", "who called ends with tool_calls", self.finish)

        return SaidChoice(
            text=self._texts["content"],
            reasoning=self._texts["reasoning_content"] or self._texts["reasoning"],
            refusal=self._texts["refusal"],
            calls=calls,
            finish=self.finish,
            signatures=signatures_of([*self._details.values()]),
            redacted=redacted_of([*self._details.values()]),
            tokens=tuple(self._tokens),
        )

    def _add_call(self, call: JsonObject) -> None:
        index = call.get("index")
        require(isinstance(index, int), "a call has an index", call)
        assert isinstance(index, int)
        require(index <= len(self._calls), "calls are counted from 0 without gaps", call)
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments")
        require(arguments is None or isinstance(arguments, str), "arguments are a text", arguments)

        if index == len(self._calls):
            require(
                call.get("id") and call.get("type") and function.get("name"),
                "a call is introduced with id, type and name",
                call,
            )
            self._calls.append({"id": call["id"], "name": function.get("name"), "arguments": ""})
        else:
            require(
                not call.get("id") and not call.get("type") and not function.get("name"),
                "id, type and name are said once",
                call,
            )

        kept = self._calls[index]
        kept["arguments"] = text(kept["arguments"]) + text(arguments)


def _whole_choice(choice: JsonObject) -> SaidChoice:
    message = inner(choice, "message")
    require(message.get("role") == "assistant", "the role is assistant", message)
    finish = choice.get("finish_reason")
    require(finish is None or finish in _FINISHES, "a reason to end is known", finish)
    details = objects(message.get("reasoning_details") or [], "details are objects")
    calls = [
        {"id": call.get("id"), **inner(call, "function")}
        for call in objects(message.get("tool_calls") or [], "tool_calls is a list of objects")
    ]
    return SaidChoice(
        text=text(message.get("content")),
        reasoning=text(message.get("reasoning_content")) or text(message.get("reasoning")),
        refusal=text(message.get("refusal")),
        calls=tuple(_call(call) for call in calls),
        # A whole answer may leave it null; a stream has to say one.
        finish=text(finish) or ("tool_calls" if calls else "stop"),
        signatures=signatures_of(details),
        redacted=redacted_of(details),
        tokens=tuple(tokens_of(choice.get("logprobs"))),
    )


def _call(call: JsonObject) -> SaidCall:
    return SaidCall(
        id=text(call.get("id")),
        name=text(call.get("name")),
        arguments=meant(text(call.get("arguments"), "arguments are a text")),
    )


def add_detail(details: dict[int, JsonObject], piece: JsonObject) -> None:
    """Add a piece of reasoning details to what is known: texts of one index belong together."""
    index = piece.get("index")
    kept = details.setdefault(index if isinstance(index, int) else 0, {})

    for name, value in piece.items():
        old = kept.get(name)
        grows = name in ("text", "signature", "data", "summary")

        if grows and isinstance(old, str) and isinstance(value, str):
            kept[name] = old + value
        else:
            kept[name] = value


def signatures_of(details: list[JsonObject]) -> tuple[str, ...]:
    """Return the signatures among reasoning details."""
    return tuple(text(entry["signature"]) for entry in details if entry.get("signature"))


def redacted_of(details: list[JsonObject]) -> tuple[str, ...]:
    """Return what is sealed among reasoning details."""
    return tuple(text(entry["data"]) for entry in details if entry.get("data"))


def tokens_of(logprobs: Json) -> list[str]:
    """Return the tokens of log probabilities."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return [text(entry.get("token")) for entry in objects(content or [], "logprobs are objects")]


def usage_of(usage: Json) -> SaidUsage | None:
    """Return the tokens that a chat's usage tells."""
    if not isinstance(usage, dict):
        return None

    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    prompt = prompt if isinstance(prompt, dict) else {}
    completion = completion if isinstance(completion, dict) else {}
    taken = whole_number(usage.get("prompt_tokens"))
    given = whole_number(usage.get("completion_tokens"))
    require(usage.get("total_tokens") in (None, taken + given), "tokens add up", usage)
    return SaidUsage(
        prompt=taken,
        completion=given,
        cached=whole_number(prompt.get("cached_tokens")),
        cache_write=whole_number(prompt.get("cache_write_tokens")),
        reasoning=whole_number(completion.get("reasoning_tokens")),
    )
