"""What stands behind the gateway here: the kit's OpenAI and Anthropic, and a few models more.

`python -m tests.sdk.upstream` prints where it listens. A model's name says what it does:

- `structured` fills the schema that it is asked for, `fussy` says that the request is wrong;
- `limited` answers 429 to the first request of a text and 200 to the next, `broken` the same with
  500, `limited-long` for SDKs that wait longer by themselves; all say when to come again, and
  refuse who comes before that;
- `org/plain:7b` is the kit's `plain` under a name that is hard to put into an address.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import anyio

from spindle_conformance.upstreams.anthropic import AnthropicSimulator
from spindle_conformance.upstreams.faults import Failure, Problem
from spindle_conformance.upstreams.framing import dump
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_conformance.upstreams.server import Play, ScriptedServer, Seen

if TYPE_CHECKING:
    from spindle_conformance.upstreams.simulator import Simulator
    from spindle_spi.types import Json, JsonObject

STRUCTURED: JsonObject = {"city": "Zürich", "days": 2}
FAILING_ONCE = {"limited": (429, 1300), "broken": (500, 1300), "limited-long": (429, 2400)}
"""Their status, and the milliseconds they ask for: more than the SDKs wait by themselves.

That is half a second at most before the first retry, and two seconds for one of them.
"""
HARD_NAME = "org/plain:7b"
_MAX_TEXTS = 1000
_TIMER_SECONDS = 0.02
"""How much too early a client's timer may be."""


@dataclass(slots=True)
class Answers:
    """The handler of all requests."""

    openai: OpenAISimulator = field(default_factory=OpenAISimulator)
    anthropic: AnthropicSimulator = field(default_factory=AnthropicSimulator)
    _texts: dict[str, float] = field(default_factory=dict[str, float])
    """When a text was first sent to a model that fails once."""

    def __call__(self, request: Seen) -> Play:
        """Return what happens to one request."""
        body = request.json
        path = request.path.partition("?")[0]
        simulator = self.anthropic if path.startswith("/v1/messages") else self.openai

        if isinstance(body, dict):
            return self._asked(simulator, request, body)

        return simulator.answer(request)

    def _asked(self, simulator: Simulator, request: Seen, body: JsonObject) -> Play:
        model = str(body.get("model"))

        if model == "structured":
            return _structured(simulator, request, body)

        if model == "fussy":
            return simulator.refuse(Failure.INVALID, "The upstream says no.")

        if model in FAILING_ONCE and (play := self._again(simulator, model, body)) is not None:
            return play

        if model in FAILING_ONCE or model == HARD_NAME:
            return _as(simulator, request, body, "plain")

        return simulator.answer(request)

    def _again(self, simulator: Simulator, model: str, body: JsonObject) -> Play | None:
        """Return what becomes of a text that is sent to a model that fails once; None is well."""
        status, wait = FAILING_ONCE[model]
        text, now = model + json.dumps(body.get("messages")), time.monotonic()
        first = self._texts.get(text)

        if first is None:
            self._texts[text] = now

            if len(self._texts) > _MAX_TEXTS:
                self._texts.pop(next(iter(self._texts)))

            headers = (("retry-after", "3"), ("retry-after-ms", str(wait)))
            problem = Problem(status=status, message="Later.", headers=headers)
            return simulator.dialect.refuse(problem)

        # A bound from below alone: a busy machine makes clients late, and never early.
        if now - first < wait / 1000 - _TIMER_SECONDS:
            return simulator.refuse(Failure.INVALID, "Nobody asked you to come so soon.")

        return None


def _as(simulator: Simulator, request: Seen, body: JsonObject, model: str) -> Play:
    return simulator.answer(replace(request, body=dump({**body, "model": model})))


def _structured(simulator: Simulator, request: Seen, body: JsonObject) -> Play:
    """Answer as the schema asks; without one the gateway has lost it."""
    wanted = body.get("response_format") or body.get("output_config")

    if not isinstance(wanted, dict):
        return simulator.refuse(Failure.INVALID, "The schema is lost.")

    said: Json = [{"role": "user", "content": dump(STRUCTURED).decode()}]
    return _as(simulator, request, {**body, "messages": said}, "echo")


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
