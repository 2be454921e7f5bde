"""Runs a simulated upstream as a process of its own.

Its own paths: `GET /_log` (requests seen; `?ended=n` waits for that many to end), `POST /_reset`.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING

import anyio

from spindle_conformance.upstreams.server import ScriptedServer
from spindle_conformance.upstreams.simulator import Quirk, SimulatorMaker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def run(
    simulators: Mapping[str, SimulatorMaker],
    arguments: Sequence[str] | None = None,
    *,
    dialect: str | None = None,
) -> None:
    """Serve one of the simulators until the process is ended.

    Args:
        simulators: Those to choose from, by dialect.
        arguments: The command line; the process's own if not given.
        dialect: The dialect, where the command line does not choose.
    """
    parser = argparse.ArgumentParser(prog="spindle_conformance.upstreams")

    if dialect is None:
        parser.add_argument("dialect", choices=sorted(simulators))

    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--chunk", type=int, default=0, help="bytes for each write; 0 is all")
    parser.add_argument("--key", default=None, help="the credential to insist on")
    parser.add_argument(
        "--quirk", action="append", default=[], type=Quirk, choices=list(Quirk), help="repeatable"
    )
    options = parser.parse_args(arguments)
    made = simulators[dialect or options.dialect](key=options.key, quirks=set(options.quirk))
    server = ScriptedServer(handler=made.answer, chunk=options.chunk)
    anyio.run(partial(server.serve, options.port, _announce))


def _announce(url: str) -> None:
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()
