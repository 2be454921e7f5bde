"""What stands behind the gateway here: the kit's upstream, and a few models more.

`python -m tests.sdk.upstream` prints where it listens. A model's name says what it does:

- `refusal` refuses in the message's own field; `structured` fills the schema that it is asked for;
  `fussy` says that the request is wrong;
- `limited` answers 429 to the first request of a text and 200 to the next, `broken` the same with
  500, `limited-long` for SDKs that wait longer by themselves; all say when to come again;
- `org/plain:7b` is the kit's `plain` under a name that is hard to put into an address.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import anyio

from spindle_conformance.upstreams import openai
from spindle_conformance.upstreams.scripts import Script, dump, frame
from spindle_conformance.upstreams.server import Play, ScriptedServer, Seen

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

REFUSAL = "I shall not help with that."
STRUCTURED: JsonObject = {"city": "Zürich", "days": 2}
FAILING_ONCE = {"limited": (429, "1300"), "broken": (500, "1300"), "limited-long": (429, "2400")}
"""Their status, and the milliseconds they ask for: more than the SDKs wait by themselves.

That is half a second at most before the first retry, and two seconds for one of them.
"""
HARD_NAME = "org/plain:7b"
_MAX_TEXTS = 1000


@dataclass(slots=True)
class Answers:
    """The handler of all requests."""

    _texts: dict[str, int] = field(default_factory=dict[str, int])
    """How often a text was sent to a model that fails once."""

    def __call__(self, request: Seen) -> Play:
        """Return what happens to one request."""
        body = request.json

        if request.path.endswith("/chat/completions") and isinstance(body, dict):
            return self._chat(request, body)

        return openai.answer(request)

    def _chat(self, request: Seen, body: JsonObject) -> Play:
        model = str(body.get("model"))

        if model == "refusal":
            return _refused(body)

        if model == "structured":
            return _structured(request, body)

        if model == "fussy":
            return _error(400, "invalid_request_error", "invalid_value")

        if model in FAILING_ONCE and self._is_first(model, body):
            return _later(*FAILING_ONCE[model])

        if model in FAILING_ONCE or model == HARD_NAME:
            return _as(request, body, "plain")

        return openai.answer(request)

    def _is_first(self, model: str, body: JsonObject) -> bool:
        text = model + json.dumps(body.get("messages"))
        self._texts[text] = self._texts.get(text, 0) + 1

        if len(self._texts) > _MAX_TEXTS:
            self._texts.pop(next(iter(self._texts)))

        return self._texts[text] == 1


def _as(request: Seen, body: JsonObject, model: str) -> Play:
    return openai.answer(replace(request, body=dump({**body, "model": model})))


def _structured(request: Seen, body: JsonObject) -> Play:
    """Answer as the schema asks; without one the gateway has lost it."""
    wanted = body.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None

    if kind not in ("json_schema", "json_object"):
        return _error(400, "invalid_request_error", "response_format_lost")

    said: Json = [{"role": "user", "content": dump(STRUCTURED).decode()}]
    return _as(request, {**body, "messages": said}, "echo")


def _refused(body: JsonObject) -> Play:
    script = Script(model="refusal", content=REFUSAL, pieces=("I shall not ", "help with that."))

    if body.get("stream") is not True:
        answer = script.answer()
        answer["choices"] = [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "refusal": REFUSAL},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ]
        return Play(body=dump(answer))

    chunks = script.chunks()
    text = frame(chunks).replace(b'"delta":{"content":"I', b'"delta":{"refusal":"I')
    text = text.replace(b'"delta":{"content":"help', b'"delta":{"refusal":"help')
    return Play(body=text, streamed=True, content_type="text/event-stream")


def _later(status: int, milliseconds: str) -> Play:
    headers = (("retry-after", "3"), ("retry-after-ms", milliseconds))
    return replace(_error(status, "server_error", "later"), headers=headers)


def _error(status: int, kind: str, code: str) -> Play:
    error: JsonObject = {
        "message": "The upstream says no.",
        "type": kind,
        "param": None,
        "code": code,
    }
    return Play(status=status, body=dump({"error": error}))


def main() -> None:
    """Run until the process is ended."""
    parser = argparse.ArgumentParser(prog="tests.sdk.upstream")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chunk", type=int, default=0)
    options = parser.parse_args()
    server = ScriptedServer(handler=Answers(), chunk=options.chunk)
    anyio.run(partial(server.serve, options.port, _announce))


def _announce(url: str) -> None:
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
