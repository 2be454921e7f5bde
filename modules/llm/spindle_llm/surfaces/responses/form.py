"""How the Responses surface speaks: one response object, whole or told in a stream of events."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from spindle_llm.relay.wire_json import encode
from spindle_llm.surfaces.form import ChatForm, StreamWriter
from spindle_llm.surfaces.responses.output import Output
from spindle_spi.shapes import OPENAI

if TYPE_CHECKING:
    from spindle_llm.surfaces.responses.request import ResponseRequest
    from spindle_spi.errors import GatewayError
    from spindle_spi.types import Json, JsonObject

_ECHOED: Final[dict[str, Json]] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "auto",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Parameters that a response repeats, with what they are when a request does not give them."""

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponseForm(ChatForm):
    """One response on its way: what it will be, as far as it is known."""

    shape = OPENAI

    def __init__(self, request: ResponseRequest, response_id: str) -> None:
        """Begin the response to a request."""
        self.id = response_id
        self.dropped = request.dropped
        self._request = request
        self._model = request.model or ""
        self._created = int(time.time())
        self._status = "queued" if request.background else "in_progress"
        self._output = Output(response_id.removeprefix("resp_"))
        self._error: JsonObject | None = None
        self._finish: str | None = None
        self._usage: JsonObject | None = None
        self._completed: int | None = None
        self._sequence = 0

    def answer(self, answer: JsonObject) -> bytes:
        """Return the response that an answer makes."""
        self.take_answer(answer)
        return encode(self.shown())

    def writer(self, model: str) -> StreamWriter:
        """Return the writer of its events."""
        self._model = model
        return _EventWriter(self)

    def error_event(self, error: GatewayError, request_id: str) -> bytes:
        """Return the events of a response that failed."""
        del request_id
        self.fail(error)
        told: JsonObject = {
            "type": "error",
            "code": OPENAI.codes.get(error.code, error.code),
            "message": error.message,
            "param": error.param,
        }
        return self.written([told, {"type": "response.failed", "response": self.shown()}])

    def take_answer(self, answer: JsonObject) -> None:
        """Take a whole answer of the lingua franca; the response is complete then."""
        self._model = str(answer.get("model") or self._model)
        choices = answer.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None

        if isinstance(first, dict):
            message = first.get("message")
            self.take_delta(message if isinstance(message, dict) else {}, first.get("logprobs"))
            self.take_finish(first.get("finish_reason"))

        self.take_usage(answer.get("usage"))
        self.end()

    def take_delta(self, delta: JsonObject, logprobs: Json) -> list[JsonObject]:
        """Take a delta; return its events."""
        return self._output.take(delta, logprobs)

    def take_finish(self, reason: Json) -> None:
        """Take the reason why the model stopped."""
        self._finish = reason if isinstance(reason, str) else self._finish

    def take_usage(self, usage: Json) -> None:
        """Take the tokens, in a chat's form."""
        self._usage = _usage(usage) if isinstance(usage, dict) else self._usage

    def end(self) -> list[JsonObject]:
        """Complete the response; return the events of that, but the very last."""
        self._status = "incomplete" if self._finish in _INCOMPLETE else "completed"
        self._completed = int(time.time()) if self._status == "completed" else None
        return self._output.end(self._status)

    def fail(self, error: GatewayError) -> None:
        """End the response as failed."""
        self._status = "failed"
        self._error = {
            "code": "rate_limit_exceeded" if error.http_status == 429 else "server_error",
            "message": error.message,
        }

    def cancel(self) -> None:
        """End the response as cancelled."""
        self._status = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be said."""
        return self._status not in ("queued", "in_progress")

    @property
    def status(self) -> str:
        """How it is."""
        return self._status

    def message(self) -> JsonObject:
        """Return what the model said as a message of the lingua franca."""
        return self._output.message()

    def shown(self) -> JsonObject:
        """Return the response as it is now."""
        data = self._request.data
        reason = _INCOMPLETE.get(self._finish or "") if self._status == "incomplete" else None
        reasoning = data.get("reasoning")
        reasoning = reasoning if isinstance(reasoning, dict) else {}
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "status": self._status,
            "background": self._request.background,
            "completed_at": self._completed,
            "error": self._error,
            "incomplete_details": None if reason is None else {"reason": reason},
            "model": self._model,
            "output": [*self._output.items()] if self.is_over else [],
            "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
            "store": self._request.store,
            "usage": self._usage,
            **{
                name: default if data.get(name) is None else data[name]
                for name, default in _ECHOED.items()
            },
        }

    def written(self, events: list[JsonObject]) -> bytes:
        """Return events on the wire, numbered."""
        lines: list[bytes] = []

        for event in events:
            kind = event["type"]
            numbered = {**event, "sequence_number": self._sequence}
            lines.append(b"event: %s\ndata: %s\n\n" % (str(kind).encode(), encode(numbered)))
            self._sequence += 1

        return b"".join(lines)


class _EventWriter(StreamWriter):
    def __init__(self, form: ResponseForm) -> None:
        self._form = form
        self._has_begun = False

    def take(self, chunk: JsonObject) -> bytes:
        form = self._form
        events = self._beginning()
        choices = chunk.get("choices")

        for entry in choices if isinstance(choices, list) else ():
            if not isinstance(entry, dict):
                continue

            delta = entry.get("delta")
            events += form.take_delta(
                delta if isinstance(delta, dict) else {}, entry.get("logprobs")
            )
            form.take_finish(entry.get("finish_reason"))

        form.take_usage(chunk.get("usage"))
        return form.written(events)

    def end(self) -> bytes:
        form = self._form
        events = [*self._beginning(), *form.end()]
        last: JsonObject = {"type": f"response.{form.status}", "response": form.shown()}
        return form.written([*events, last])

    def _beginning(self) -> list[JsonObject]:
        if self._has_begun:
            return []

        self._has_begun = True
        return [
            {"type": f"response.{name}", "response": self._form.shown()}
            for name in ("created", "in_progress")
        ]


def _usage(usage: JsonObject) -> JsonObject:
    taken, given = _whole(usage, "prompt_tokens"), _whole(usage, "completion_tokens")
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    prompt = prompt if isinstance(prompt, dict) else {}
    completion = completion if isinstance(completion, dict) else {}
    return {
        "input_tokens": taken,
        "input_tokens_details": {
            "cached_tokens": _whole(prompt, "cached_tokens"),
            "cache_write_tokens": _whole(prompt, "cache_write_tokens"),
        },
        "output_tokens": given,
        "output_tokens_details": {"reasoning_tokens": _whole(completion, "reasoning_tokens")},
        "total_tokens": taken + given,
    }


def _whole(values: JsonObject, name: str) -> int:
    value = values.get(name)
    return value if isinstance(value, int) else 0
