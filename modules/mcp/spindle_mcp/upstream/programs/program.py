"""The program of a gateway as a process: started within bounds, ended with all it started."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from anyio.abc import Process

    from spindle_spi.records import GatewaySpec

_INHERITED: Final = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
"""All that a program learns of the gateway's own environment."""
_LAUNCHER: Final = str(Path(__file__).with_name("launcher.py"))
_POLITE_SECONDS: Final = 2.0
"""How long a program may take to end by itself when its input ends, and again when it is told."""
_POLL_SECONDS: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start and within which bounds."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, Secret] = field(default_factory=dict[str, Secret])
    """More variables of its environment."""
    directory: str = "/"
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    """By the names of `resource`: RLIMIT_AS, …"""


def program_of(spec: GatewaySpec, secrets: Mapping[str, Secret]) -> Program | None:
    """Return the program of a gateway; None when it is none."""
    if spec.transport != "stdio" or not spec.command:
        return None

    limits = spec.limits
    bounds = {
        "RLIMIT_AS": None if limits.memory_mb is None else limits.memory_mb * 1_000_000,
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_NPROC": limits.processes,
    }
    return Program(
        command=spec.command,
        environment=spec.environment,
        secrets=secrets,
        directory=spec.directory or "/",
        # Nobody reads the cores of programs that others wrote.
        limits={"RLIMIT_CORE": 0, **{k: v for k, v in bounds.items() if v is not None}},
    )


async def start(program: Program) -> Process:
    """Start a program in a group of its own, with pipes; whether it can be executed shows later.

    Raises:
        OSError: No process can be made.
    """
    order = {
        "command": program.command,
        "directory": program.directory,
        "parent": os.getpid(),
        "limits": dict(program.limits),
    }
    secrets = {name: secret.reveal() for name, secret in program.secrets.items()}
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # Isolated from variables that are meant for the program, which may be in Python, too.
    return await anyio.open_process(
        [sys.executable, "-I", "-S", _LAUNCHER, json.dumps(order)],
        env={**inherited, **program.environment, **secrets},
        start_new_session=True,
    )


async def stop(process: Process) -> None:
    """End a process and whatever it started: input closed, then told, then killed. Bounded."""
    with anyio.CancelScope(shield=True):
        if process.stdin is not None:
            # What was not read is given up; nobody waits for an answer any more.
            with suppress(OSError, anyio.BrokenResourceError), anyio.move_on_after(_POLITE_SECONDS):
                await process.stdin.aclose()

        if not await _has_ended(process):
            _signal(process, signal.SIGTERM)
            await _has_ended(process)

        # Also when it ended by itself: what it started may be alive.
        _signal(process, signal.SIGKILL)
        await _has_ended(process)

        for stream in (process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError, anyio.BrokenResourceError):
                    await stream.aclose()

        _close_transport(process)


async def end_of(process: Process, interval: float) -> None:
    """Wait for the end of a process, as seen when looked at from time to time.

    Not by `wait`, which also waits for pipes that something it started may hold.
    """
    while process.returncode is None:  # noqa: ASYNC110 - nobody else says it
        await anyio.sleep(interval)


async def _has_ended(process: Process) -> bool:
    with anyio.move_on_after(_POLITE_SECONDS):
        await end_of(process, _POLL_SECONDS)

    return process.returncode is not None


def _signal(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _close_transport(process: Process) -> None:
    # It stays open while something holds a pipe, and nothing public closes it.
    transport = getattr(getattr(process, "_process", None), "_transport", None)
    close = getattr(transport, "close", None)

    if callable(close):
        with suppress(PermissionError):
            close()
