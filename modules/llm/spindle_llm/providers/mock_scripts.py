"""What the mock provider's models say, as the bytes a real OpenAI-form upstream would send."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from spindle_llm.relay.wire_json import encode
from spindle_spi.types import Json, JsonObject

CREATED = 1_700_000_000
"""When every model and every answer of the mock was made."""

_PLAIN = "Hello from the mock model. It says the same to everybody: nothing leaves this machine."
_REASONING = "The user wants an answer. I shall give the one I know."
_HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway</body></html>"
_MAX_PIECES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One answer as it goes over the wire."""

    pieces: tuple[bytes, ...]
    status: int = 200
    headers: Mapping[str, str]
    gap: float = 0.0
    """Seconds before each piece but the first."""
    is_cut: bool = False
    """The connection breaks after the last piece."""
    hangs: bool = False
    """Nothing comes after the last piece, and no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a script needs of a request."""

    model: str
    body: JsonObject
    options: Mapping[str, Json]
    """The options of the provider."""

    @property
    def is_stream(self) -> bool:
        """Whether the answer is to be a stream."""
        return self.body.get("stream") is True

    def number(self, name: str, default: float) -> float:
        """Return a number of the provider's options."""
        return _number(self.options.get(name), default)

    def wanted(self, name: str, default: float) -> float:
        """Return a number of the request."""
        return _number(self.body.get(name), default)


def _number(value: Json, default: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and isinstance(value, int | float) else default


Writer: TypeAlias = Callable[[Question], Script]


def script_for(question: Question) -> Script:
    """Return what happens to a request."""
    writer = MODELS.get(question.model)

    if writer is None:
        return refusal(404, "The model does not exist.", "model_not_found")

    return writer[1](question)


def _plain(question: Question) -> Script:
    return _answer(question, _words(_PLAIN))


def _echo(question: Question) -> Script:
    return _answer(question, _words(_last_text(question.body, "user") or "(nothing was said)"))


def _long(question: Question) -> Script:
    count = min(int(question.number("long_count", 50)), _MAX_PIECES)
    gap = question.number("long_gap_seconds", 0.1)
    words = [f"word{number} " for number in range(1, count + 1)]
    return _answer(question, words, gap=gap)


def _reasoning(question: Question) -> Script:
    return _answer(question, _words("The answer is 42."), reasoning=_words(_REASONING))


def _tools(question: Question) -> Script:
    """Call the first tool that is offered; once it has answered, tell what it said."""
    messages = _objects(question.body.get("messages"))

    if messages and messages[-1].get("role") == "tool":
        said = _content(messages[-1])
        return _answer(question, _words(f"The tool answered: {said}"))

    offered = [
        function
        for tool in _objects(question.body.get("tools"))
        if isinstance(function := tool.get("function"), dict)
    ]

    if not offered:
        return _answer(question, _words("No tool was offered."))

    call: JsonObject = {
        "id": "call_mock_1",
        "type": "function",
        "function": {"name": offered[0].get("name"), "arguments": _wanted(question, offered[0])},
    }
    return _answer(question, [], call=call)


def _cut(question: Question) -> Script:
    script = _answer(question, _words(_PLAIN))

    if question.is_stream:
        return _with(script, pieces=script.pieces[:4])

    return _with(script, pieces=(script.pieces[0][: len(script.pieces[0]) // 2],))


def _html(question: Question) -> Script:
    del question
    return Script(pieces=(_HTML,), headers={"content-type": "text/html"})


def _hang(question: Question) -> Script:
    del question
    return Script(pieces=(), headers={"content-type": "text/event-stream"}, hangs=True)


def _rate_limit(question: Question) -> Script:
    del question
    return refusal(
        429,
        "Rate limit reached.",
        "rate_limit_exceeded",
        {
            "retry-after": "2",
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "2s",
        },
    )


MODELS: Mapping[str, tuple[str, Writer]] = {
    "echo": ("Repeats the last user message.", _echo),
    "plain": ("Says one fixed sentence.", _plain),
    "long": ("A long, spaced stream (options long_count, long_gap_seconds).", _long),
    "tools": ("Calls the first tool that is offered, then quotes what it answered.", _tools),
    "reasoning": ("Thinks before it answers.", _reasoning),
    "cut": ("Breaks off in the middle of its answer.", _cut),
    "html": ("Answers with a page of HTML under status 200.", _html),
    "hang": ("Never answers.", _hang),
    "rate-limit": ("Always answers 429.", _rate_limit),
}
"""The models by name: what each does, and its script."""


def _answer(
    question: Question,
    words: list[str],
    *,
    reasoning: list[str] | None = None,
    call: JsonObject | None = None,
    gap: float = 0.0,
) -> Script:
    """Return an answer as a stream or whole, whichever was asked for; both say the same."""
    finish = "stop" if call is None else "tool_calls"
    usage = _usage(
        question.body, len(words) + len(reasoning or ()) + (10 if call else 0), reasoning
    )

    if question.is_stream:
        deltas: list[JsonObject] = [{"role": "assistant", "content": "" if call is None else None}]
        deltas += [_text_delta("reasoning_content", word) for word in reasoning or ()]
        deltas += [_text_delta("content", word) for word in words]
        deltas += _call_deltas(call)
        pieces = [_chunk(question, delta) for delta in deltas]
        pieces += [_chunk(question, {}, finish), _usage_chunk(question, usage), b"data: [DONE]\n\n"]
        return Script(pieces=tuple(pieces), headers={"content-type": "text/event-stream"}, gap=gap)

    message: JsonObject = {
        "role": "assistant",
        "content": "".join(words) if call is None else None,
        "refusal": None,
    }

    if reasoning is not None:
        message["reasoning_content"] = "".join(reasoning)

    if call is not None:
        message["tool_calls"] = [call]

    choice: JsonObject = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    body = encode({**_head(question, "chat.completion"), "choices": [choice], "usage": usage})
    return Script(pieces=(body,), headers={"content-type": "application/json"})


def refusal(
    status: int, message: str, code: str, headers: Mapping[str, str] | None = None
) -> Script:
    """Return an error in OpenAI's form."""
    error: JsonObject = {"message": message, "type": code, "param": None, "code": code}
    return Script(
        status=status,
        pieces=(encode({"error": error}),),
        headers={"content-type": "application/json", **(headers or {})},
    )


def _with(script: Script, *, pieces: tuple[bytes, ...]) -> Script:
    return Script(pieces=pieces, headers=script.headers, gap=script.gap, is_cut=True)


def _head(question: Question, kind: str) -> JsonObject:
    return {
        "id": "chatcmpl-mock",
        "object": kind,
        "created": CREATED,
        "model": question.model,
        "system_fingerprint": "fp_mock",
    }


def _chunk(question: Question, delta: JsonObject, finish: str | None = None) -> bytes:
    choice: JsonObject = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk: JsonObject = {
        **_head(question, "chat.completion.chunk"),
        "choices": [choice],
        "usage": None,
    }
    return b"data: " + encode(chunk) + b"\n\n"


def _usage_chunk(question: Question, usage: JsonObject) -> bytes:
    chunk: JsonObject = {
        **_head(question, "chat.completion.chunk"),
        "choices": [],
        "usage": usage,
    }
    return b"data: " + encode(chunk) + b"\n\n"


def _usage(body: JsonObject, output: int, reasoning: list[str] | None) -> JsonObject:
    prompt = math.ceil(len(encode({"messages": body.get("messages")})) / 4)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": len(reasoning or ())},
    }


def _text_delta(channel: str, text: str) -> JsonObject:
    return {channel: text}


def _call_deltas(call: JsonObject | None) -> list[JsonObject]:
    if call is None:
        return []

    function = call["function"]
    assert isinstance(function, dict)
    arguments = str(function["arguments"])
    middle = len(arguments) // 2
    first: JsonObject = {**call, "index": 0, "function": {**function, "arguments": ""}}
    rest: list[JsonObject] = [
        {"index": 0, "function": {"arguments": piece}}
        for piece in (arguments[:middle], arguments[middle:])
    ]
    return [{"tool_calls": [entry]} for entry in (first, *rest)]


def _wanted(question: Question, function: JsonObject) -> str:
    """Return arguments for a call: the last user message if it is a JSON object, else made up."""
    said = _last_text(question.body, "user")

    try:
        value: Json = json.loads(said)
    except (ValueError, RecursionError):
        value = None

    if isinstance(value, dict):
        return said

    schema = function.get("parameters")
    return encode(_sample(schema if isinstance(schema, dict) else {}, said)).decode()


def _sample(schema: JsonObject, said: str) -> JsonObject:
    """Return an object that a flat schema takes: the user's words for texts, ones for numbers."""
    properties = schema.get("properties")
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    sample: JsonObject = {}

    for name, entry in properties.items() if isinstance(properties, dict) else ():
        kind = entry.get("type") if isinstance(entry, dict) else None

        if name in names:
            sample[name] = {"integer": 1, "number": 1, "boolean": True}.get(str(kind), said)

    return sample


def _words(text: str) -> list[str]:
    """Return a text in pieces of a word each; together they are the text."""
    return [piece for piece in text.replace(" ", " \0").split("\0") if piece]


def _last_text(body: JsonObject, role: str) -> str:
    said = [
        _content(entry) for entry in _objects(body.get("messages")) if entry.get("role") == role
    ]
    return said[-1] if said else ""


def _content(message: JsonObject) -> str:
    content = message.get("content")

    if isinstance(content, str):
        return content

    return "".join(str(part.get("text", "")) for part in _objects(content))


def _objects(value: Json) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
