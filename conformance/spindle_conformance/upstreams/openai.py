"""An upstream that speaks OpenAI's dialect; the model's name in the request says what it does.

`python -m spindle_conformance.upstreams.openai --port 0 --chunk 7` prints where it listens.
Its own paths: `GET /_log` (requests seen; `?ended=n` waits for that many to end), `POST /_reset`.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

import anyio

from spindle_conformance.upstreams.plays import model_names, play_for
from spindle_conformance.upstreams.scripts import CREATED, dump
from spindle_conformance.upstreams.server import Play, ScriptedServer, Seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.types import Json


def answer(request: Seen) -> Play:
    """Return what happens to one request."""
    path = request.path.partition("?")[0].removeprefix("/v1")

    if request.method == "GET" and path == "/models":
        return Play(body=dump({"object": "list", "data": _models()}))

    body = request.json

    if request.method == "POST" and path == "/chat/completions" and isinstance(body, dict):
        return play_for(body)

    return Play(status=404, body=b'{"error":{"message":"Unknown path","type":"not_found"}}')


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the upstream until the process is ended."""
    parser = argparse.ArgumentParser(prog="spindle_conformance.upstreams.openai")
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--chunk", type=int, default=0, help="bytes for each write; 0 is all")
    options = parser.parse_args(arguments)
    server = ScriptedServer(handler=answer, chunk=options.chunk)
    anyio.run(partial(server.serve, options.port, _announce))


def _announce(url: str) -> None:
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()


def _models() -> list[Json]:
    return [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"}
        for name in model_names()
    ]


if __name__ == "__main__":
    main()
