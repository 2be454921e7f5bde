"""What stands behind the gateway here: the kit's OpenAI and Anthropic, and a few models more.

`python -m tests.sdk.upstream` prints where it listens. A model's name says what it does:

- `structured` fills the schema that it is asked for, `fussy` says that the request is wrong;
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

from spindle_conformance.upstreams.anthropic import AnthropicSimulator
from spindle_conformance.upstreams.faults import Failure, Problem
from spindle_conformance.upstreams.framing import dump
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_conformance.upstreams.server import Play, ScriptedServer, Seen

if TYPE_CHECKING:
    from spindle_conformance.upstreams.simulator import Simulator
    from spindle_spi.types import Json, JsonObject

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

    openai: OpenAISimulator = field(default_factory=OpenAISimulator)
    anthropic: AnthropicSimulator = field(default_factory=AnthropicSimulator)
    _texts: dict[str, int] = field(default_factory=dict[str, int])
    """How often a text was sent to a model that fails once."""

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

        if model in FAILING_ONCE and self._is_first(model, body):
            status, wait = FAILING_ONCE[model]
            headers = (("retry-after", "3"), ("retry-after-ms", wait))
            return simulator.dialect.refuse(
                Problem(status=status, message="Later.", headers=headers)
            )

        if model in FAILING_ONCE or model == HARD_NAME:
            return _as(simulator, request, body, "plain")

        return simulator.answer(request)

    def _is_first(self, model: str, body: JsonObject) -> bool:
        text = model + json.dumps(body.get("messages"))
        self._texts[text] = self._texts.get(text, 0) + 1

        if len(self._texts) > _MAX_TEXTS:
            self._texts.pop(next(iter(self._texts)))

        return self._texts[text] == 1


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
