"""Runs the console lines of a page, all in one shell, and compares what it prints.

A ```console block has commands after `$ `, their further lines after `> `, and what they print.
`…` stands for anything within a line, a line of it alone for any number of lines, and runs of
blanks for one another: columns are as wide as what is in them. A command nothing is written below
may print what it likes. Every command has to succeed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from anyio.abc import Process

ANYTHING = "…"
_STEP_SECONDS = 60.0
_AGAIN_SECONDS = 15.0
"""How long a question to the gateway is asked again: another process changed what it answers."""
_POLL_SECONDS = 0.1
_MAX_OUTPUT = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a page."""

    line: int
    command: str
    printed: tuple[str, ...]


def blocks_of(text: str, language: str) -> list[tuple[int, str]]:
    """Return the fenced blocks of a language, each with the line it starts at."""
    return [
        (text.count("\n", 0, found.start(1)) + 1, found.group(1))
        for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


def steps_of(text: str) -> list[Step]:
    """Return the commands of a page, in order.

    Raises:
        ValueError: A block begins with something else than a command.
    """
    steps: list[Step] = []

    for start, block in blocks_of(text, "console"):
        commands: list[tuple[int, list[str], list[str]]] = []

        for number, line in enumerate(block.splitlines(), start):
            if line.startswith("$ "):
                commands.append((number, [line[2:]], []))
            elif not commands:
                raise ValueError(f"line {number}: a block begins with a command")
            elif line.startswith("> ") and not commands[-1][2]:
                commands[-1][1].append(line[2:])
            else:
                commands[-1][2].append(line)

        steps += [
            Step(line=number, command="\n".join(lines), printed=tuple(printed))
            for number, lines, printed in commands
        ]

    return steps


def is_as_written(printed: tuple[str, ...], output: str) -> bool:
    """Tell whether a command printed what the page says."""
    if not printed:
        return True

    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == ANYTHING else f"{_line_pattern(line)}\n" for line in printed
    )
    lines = [" ".join(line.split()) for line in output.splitlines()]
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


def _line_pattern(line: str) -> str:
    parts = " ".join(line.split()).split(ANYTHING)
    return ".*".join(re.escape(part) for part in parts)


class Console:
    """A shell whose variables, functions and jobs stay from one command to the next."""

    def __init__(self, process: Process, scratch: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input = process.stdin
        self._output = BufferedByteReceiveStream(process.stdout)
        self._script = scratch

    async def walk(self, steps: list[Step]) -> None:
        """Take the steps of a page."""
        for step in steps:
            await self.take(step)

    async def take(self, step: Step) -> None:
        """Run a command; a question is asked again until the answer is the one on the page."""
        status, output = await self.run(step.command)

        if "spindle " not in step.command:
            with anyio.move_on_after(_AGAIN_SECONDS):
                while not is_as_written(step.printed, output):
                    await anyio.sleep(_POLL_SECONDS)
                    status, output = await self.run(step.command)

        assert status == 0, f"line {step.line}: {step.command}\nended with {status}:\n{output}"
        assert is_as_written(step.printed, output), (
            f"line {step.line}: {step.command}\nprinted:\n{output}\nbut the page says:\n"
            + "\n".join(step.printed)
        )

    async def run(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit status, and all that it printed."""
        self._script.write_text(f"{command}\n")
        end = "--- the end of a command:"

        with anyio.fail_after(_STEP_SECONDS):
            # The shell reads its commands from its input: what it runs must not.
            line = f". '{self._script}' < /dev/null; printf '%s%s\\n' '{end}' \"$?\"\n"
            await self._input.send(line.encode())
            output = await self._output.receive_until(end.encode(), _MAX_OUTPUT)
            status = await self._output.receive_until(b"\n", 16)

        return int(status), output.decode()


@asynccontextmanager
async def open_console(directory: Path, environment: Mapping[str, str]) -> AsyncGenerator[Console]:
    """Give a shell in a directory; what it started ends with it."""
    command = ("bash", "--noprofile", "--norc")

    async with await anyio.open_process(
        command,
        cwd=directory,
        env=environment,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            yield Console(process, directory / ".console")
        finally:
            # The shell and its jobs.
            os.killpg(process.pid, signal.SIGTERM)

            with anyio.CancelScope(shield=True):
                await process.wait()
