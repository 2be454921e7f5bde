"""Ollama's two dialects of chat: OpenAI's form as it reads it, and its own, lines of JSON.

Its own is what knows `keep_alive` and the options of the runtime; see `OllamaAdapter.chat`.
"""

from __future__ import annotations

import re
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from spindle_llm.providers.dialect import (
    EVENT_LIMIT,
    ChatDialect,
    Encoded,
    LineDecoder,
    StreamDecoder,
)
from spindle_llm.providers.ledger import Ledger
from spindle_llm.providers.local_chat import (
    TOOL_CHOICE,
    LocalChat,
    require_functions,
    without_tool_choice,
)
from spindle_llm.providers.ollama_messages import native_messages
from spindle_llm.providers.parameters import OF_OTHER_MODELS, OF_THE_ACCOUNT
from spindle_llm.providers.runtimes import OLLAMA_OPTIONS, Place
from spindle_llm.providers.urls import root_url
from spindle_llm.relay.answers import argument_text, finish_reason
from spindle_llm.relay.wire_json import encode, read_object, request_too_deep
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spindle_spi.records import ModelSpec
    from spindle_spi.types import Json, JsonObject

_EFFORTS: Final[Mapping[str, Json]] = {"none": False, "minimal": "low", "xhigh": "high"}
"""Efforts that Ollama calls otherwise."""
_OPTIONS: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
}
"""Parameters that are options here; of two that are one, the last holds."""
_ACCEPTED: Final = {
    True: {"Accept": "application/x-ndjson"},
    False: {"Accept": "application/json"},
}
"""Headers by whether the answer is to be a stream."""
_METRICS: Final = ("total_duration", "prompt_eval_count", "eval_count", "eval_duration")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?")
_REFUSED: Final = frozenset({"n"})
_LEFT_OUT: Final = frozenset({"logit_bias", "parallel_tool_calls", "verbosity"})


def fit(request: JsonObject) -> None:
    """Say in Ollama's words what it knows by other ones, in place."""
    effort = request.get("reasoning_effort")

    if effort in ("minimal", "xhigh"):
        request["reasoning_effort"] = _EFFORTS[effort]

    require_functions(request.get("tools"))
    without_tool_choice(request)


COMPATIBLE: Final = LocalChat(
    passed=frozenset(
        {
            *("max_tokens", "seed", "stop", "temperature", "top_p", "frequency_penalty"),
            *("presence_penalty", "response_format", "tools", "logprobs", "top_logprobs"),
        }
    ),
    translated={
        "reasoning_effort": "reasoning_effort; `minimal` is `low` and `xhigh` is `high`",
        "tool_choice": TOOL_CHOICE,
    },
    dropped=_LEFT_OUT,
    rejected=_REFUSED,
    fit=fit,
)
"""OpenAI's form, as far as Ollama reads it. What it would ignore is left out, and said."""


class OllamaChat(ChatDialect):
    """`POST /api/chat`."""

    ledger = Ledger(
        translated={
            **{name: f"options.{option}" for name, option in _OPTIONS.items()},
            **{name: f"options.{name}" for name in OLLAMA_OPTIONS.options},
            "messages": "messages: pictures apart, arguments of calls as objects",
            "options": "options, over those of the model and the provider",
            "stream_options": "nothing: the usage always comes",
            "reasoning_effort": "think",
            "response_format": "format",
            "tool_choice": TOOL_CHOICE,
        },
        passed=OLLAMA_OPTIONS.request
        | {*("model", "stream", "tools", "logprobs", "top_logprobs", "format")},
        dropped=OF_THE_ACCOUNT | _LEFT_OUT,
        rejected=OF_OTHER_MODELS | _REFUSED,
    )

    def __init__(self, settings: Mapping[str, Json] | None = None) -> None:
        """Take the provider's own options: where a request and its model give none, these hold."""
        given: JsonObject = dict(settings or {})
        options = given.pop("options", None)
        self._options: JsonObject = {**(options if isinstance(options, dict) else {})}
        self._request: JsonObject = {}

        for name, value in given.items():
            place = OLLAMA_OPTIONS.place(name)

            if place is not None:
                (self._options if place is Place.OPTIONS else self._request)[name] = value

    def url(self, base: str, model: str) -> str:
        """Return where chats are asked."""
        del model
        return root_url(base, "/api/chat")

    def encode(self, request: JsonObject, *, stream: bool, spec: ModelSpec) -> Encoded:
        """Return a request as bytes.

        Raises:
            InvalidArgument: It is nested too deeply, or its messages are none.
            Unsupported: It asks for what Ollama cannot do.
        """
        del spec
        request = dict(request)
        fit(request)
        kept, dropped = self.ledger.judge(request)
        options = {**self._options, **_options(kept)}
        body: JsonObject = {
            **self._request,
            **kept,
            "messages": native_messages(kept.get("messages")),
            "stream": stream,
        }

        for name in self.ledger.translated:
            if name not in ("messages", "options"):
                body.pop(name, None)

        body.pop("options", None)

        if options:
            body["options"] = options

        _add_thinking(body, kept.get("reasoning_effort"))
        _add_format(body, kept.get("response_format"))

        try:
            return Encoded(body=encode(body), dropped=dropped, headers=_ACCEPTED[stream])
        except RecursionError as exc:
            raise request_too_deep() from exc

    def decode(self, data: bytes) -> JsonObject:
        """Return the answer in OpenAI's form."""
        line, _ = read_object(data)
        message = _message_of(line)

        if line.get("done") is not True:
            raise UpstreamError("The upstream cut its answer.", code="upstream_cut")

        calls = [_call(call, number) for number, call in enumerate(_calls(message))]
        content = message.get("content")
        told: JsonObject = {
            "role": "assistant",
            "content": None if calls and not content else content or "",
        }

        if message.get("thinking"):
            told["reasoning_content"] = message["thinking"]

        if calls:
            told["tool_calls"] = [*calls]

        choice: JsonObject = {
            "index": 0,
            "message": told,
            "logprobs": _logprobs(line),
            "finish_reason": _finish(line, called=bool(calls)),
        }
        answer: JsonObject = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": seconds_of(line.get("created_at")) or int(time.time()),
            "model": line.get("model"),
            "choices": [choice],
        }
        usage = _usage(line)

        if usage is not None:
            answer["usage"] = usage

        return answer

    def decoder(self, limit: int = EVENT_LIMIT) -> StreamDecoder:
        """Return a decoder for one streamed answer."""
        return _Decoder(limit)


class _Decoder(LineDecoder):
    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._calls = 0
        self._has_spoken = False
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created: int | None = None

    def take(self, line: bytes) -> Iterable[JsonObject]:
        said, _ = read_object(line)
        delta = self._delta(_message_of(said))
        done = said.get("done") is True

        if delta or not (done and self._has_spoken):
            self._has_spoken = True
            yield self._chunk(said, delta or {"content": ""})

        if not done:
            return

        self.is_done = True
        yield self._chunk(said, {}, _finish(said, called=self._calls > 0))
        usage = _usage(said)

        if usage is not None:
            yield {**self._head(said), "choices": [], "usage": usage}

    def _delta(self, message: JsonObject) -> JsonObject:
        """Return what a line says; Ollama has a call whole, and the numbers are ours."""
        delta: JsonObject = {}

        if message.get("content"):
            delta["content"] = message["content"]

        if message.get("thinking"):
            delta["reasoning_content"] = message["thinking"]

        calls: list[Json] = []

        for call in _calls(message):
            calls.append({"index": self._calls, **_call(call, self._calls)})
            self._calls += 1

        if calls:
            delta["tool_calls"] = calls

        return delta

    def _chunk(self, said: JsonObject, delta: JsonObject, finish: str | None = None) -> JsonObject:
        choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": finish}
        logprobs = None if finish is not None else _logprobs(said)

        if logprobs is not None:
            choice["logprobs"] = logprobs

        return {**self._head(said), "choices": [choice]}

    def _head(self, said: JsonObject) -> JsonObject:
        if self._created is None:
            self._created = seconds_of(said.get("created_at")) or int(time.time())

        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": said.get("model"),
        }


def seconds_of(text: Json) -> int | None:
    """Return a time as servers written in Go tell it, in seconds since the epoch."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None

    if match is None:
        return None

    try:
        at = datetime.fromisoformat(match[1] + (match[2] or "Z"))
    except ValueError:
        return None

    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, int(at.timestamp()))


def _options(kept: JsonObject) -> JsonObject:
    """Return the options a request gives: by their own names, and by those of parameters."""
    given = kept.get("options")
    options: JsonObject = {**given} if isinstance(given, dict) else {}
    options.update(
        {
            name: kept[name]
            for name in OLLAMA_OPTIONS.options
            if name in kept and kept[name] is not None
        }
    )
    options.update(
        {
            option: kept[name]
            for name, option in _OPTIONS.items()
            if name in kept and kept[name] is not None
        }
    )

    if isinstance(options.get("stop"), str):
        options["stop"] = [options["stop"]]

    return options


def _add_thinking(body: JsonObject, effort: Json) -> None:
    if isinstance(effort, str) and body.get("think") is None:
        body["think"] = _EFFORTS.get(effort, effort)


def _add_format(body: JsonObject, wanted: Json) -> None:
    kind = wanted.get("type") if isinstance(wanted, dict) else None

    if not isinstance(wanted, dict) or kind not in ("json_object", "json_schema"):
        return

    described = wanted.get("json_schema")
    schema = described.get("schema") if isinstance(described, dict) else None
    body["format"] = schema if kind == "json_schema" and isinstance(schema, dict) else "json"


def _message_of(line: JsonObject) -> JsonObject:
    """Return the message of a line.

    Raises:
        UpstreamError: The line tells of an error, or has no message.
    """
    if line.get("error"):
        raise UpstreamError("The upstream failed while it answered.")

    message = line.get("message")

    if not isinstance(message, dict):
        raise UpstreamError("The upstream sent no chat answer.", code="upstream_garbage")

    return message


def _calls(message: JsonObject) -> list[JsonObject]:
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _call(call: JsonObject, number: int) -> JsonObject:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    said = call.get("id")
    return {
        "id": said if isinstance(said, str) and said else f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {
            "name": function.get("name") or f"tool_{number}",
            "arguments": argument_text(function.get("arguments")),
        },
    }


def _finish(line: JsonObject, *, called: bool) -> str:
    return finish_reason(line.get("done_reason") or "stop", called=called)


def _usage(line: JsonObject) -> JsonObject | None:
    """Return the tokens: a count that is missing is zero, unless nothing at all is counted."""
    if not any(name in line for name in _METRICS):
        return None

    prompt, completion = _count(line.get("prompt_eval_count")), _count(line.get("eval_count"))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _count(value: Json) -> int:
    return max(0, int(value)) if isinstance(value, int | float) else 0


def _logprobs(line: JsonObject) -> JsonObject | None:
    told = line.get("logprobs")
    return {"content": told, "refusal": None} if isinstance(told, list) and told else None
