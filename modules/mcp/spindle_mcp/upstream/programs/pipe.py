"""A running program as a way for messages: a line of JSON each, over its standard streams.

What it writes besides is no message: garbage on its output is counted and skipped, its error
output goes to the log. Knows nothing of the protocol in the messages.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.text import decode
from spindle_mcp.upstream.faults import ended, no_messages, too_long
from spindle_mcp.upstream.programs.launcher import CANNOT_START
from spindle_mcp.upstream.programs.lines import LineReader, LineTooLong
from spindle_mcp.upstream.programs.program import end_of, start, stop
from spindle_spi.errors import UpstreamError
from spindle_spi.observability import Level
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import Process
    from anyio.streams.memory import MemoryObjectReceiveStream

    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_mcp.upstream.programs.program import Program
    from spindle_spi.types import Json

_MAX_GARBAGE: Final = 1000
"""Lines without a message between them after which a program speaks no protocol."""
_WATCH_SECONDS: Final = 0.2
_LAST_WORDS_SECONDS: Final = 1.0
"""How long the output of a program is read after its end."""
_MAX_TOLD: Final = 2000
"""Bytes of a line of the error output that are told."""
_LINES_A_WINDOW: Final = 100
_WINDOW_SECONDS: Final = 10.0


class Pipe:
    """One process. `messages` ends when it does; `failure` then says why."""

    def __init__(self, endpoint: Endpoint, process: Process) -> None:
        self._endpoint = endpoint
        self._process = process
        self._turn = anyio.Lock()
        self._garbage = 0
        self._since_message = 0
        self._send, receive = anyio.create_memory_object_stream[JsonObject](0)
        self.messages: MemoryObjectReceiveStream[JsonObject] = receive
        self.failure: UpstreamError = ended(endpoint.gateway, None)
        self.is_over = anyio.Event()
        self.is_settled = anyio.Event()
        """Somebody relies on the program: its end is a failure from then on."""
        self.is_told = anyio.Event()
        """Whoever reads the messages has seen their end."""
        self._reading = anyio.CancelScope()

    @property
    def garbage(self) -> int:
        """How many lines of its output were no message."""
        return self._garbage

    async def write(self, message: bytes) -> None:
        """Write a message, whole; waits while the program does not read.

        Raises:
            UpstreamError: The program has ended.
        """
        stdin = self._process.stdin
        assert stdin is not None

        try:
            async with self._turn:
                # Nothing is added to what it has not taken yet, however many have given up.
                await stdin.send(b"")
                await stdin.send(message + b"\n")
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            raise self.failure from exc

    def count_garbage(self) -> None:
        """Count a line that was no message.

        Raises:
            UpstreamError: There is nothing but garbage.
        """
        self._garbage += 1
        self._since_message += 1

        if self._garbage == 1:
            self._endpoint.tell(Level.WARNING, "mcp.gateway.garbage", {})

        if self._since_message > _MAX_GARBAGE:
            raise no_messages(self._endpoint.gateway)

    async def listen(self) -> None:
        """Read the program's output until it ends."""
        with self._send:
            try:
                with self._reading:
                    await self._read()
            except LineTooLong:
                self.failure = too_long(self._endpoint.gateway)
            except UpstreamError as exc:
                self.failure = exc
            else:
                self.failure = await self._cause()
            finally:
                self.is_over.set()

    async def tell_errors(self) -> None:
        """Hand the program's error output to the log, line by line, not more than is bearable."""
        reader = LineReader(_MAX_TOLD, is_cutting=True)
        told, window, left_out = 0, 0.0, 0
        stderr = self._process.stderr
        assert stderr is not None

        async for chunk in stderr:
            for line in reader.feed(chunk):
                now = time.monotonic()

                if now - window > _WINDOW_SECONDS:
                    if left_out:
                        self._endpoint.tell(
                            Level.WARNING, "mcp.gateway.stderr_left_out", {"lines": left_out}
                        )

                    told, window, left_out = 0, now, 0

                if told < _LINES_A_WINDOW:
                    told += 1
                    self._say(line)
                else:
                    left_out += 1

        if reader.rest():
            self._say(reader.rest())

    async def watch(self) -> None:
        """End the reading some time after the process: something it started may hold its pipe."""
        await end_of(self._process, _WATCH_SECONDS)
        await anyio.sleep(_LAST_WORDS_SECONDS)
        self._reading.cancel()

    async def _read(self) -> None:
        reader = LineReader(self._endpoint.max_result_bytes)
        stdout = self._process.stdout
        assert stdout is not None

        try:
            async for chunk in stdout:
                for line in reader.feed(chunk):
                    await self._take(line)
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    async def _take(self, line: bytes) -> None:
        if not line.strip():
            return

        for message in self._messages_in(line):
            self._since_message = 0
            await self._send.send(message)

    def _messages_in(self, line: bytes) -> list[JsonObject]:
        value: Json = None

        # Most garbage is found without an attempt to read it.
        if line.lstrip()[:1] in (b"{", b"["):
            try:
                value = decode(line)
            except ValueError:
                value = None

        found = value if isinstance(value, list) else [value]
        messages = [entry for entry in found if isinstance(entry, dict)]

        if not messages:
            self.count_garbage()

        return messages

    async def _cause(self) -> UpstreamError:
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await end_of(self._process, _WATCH_SECONDS / 10)

        return ended(self._endpoint.gateway, self._process.returncode)

    def _say(self, line: bytes) -> None:
        text = line.decode(errors="replace")
        self._endpoint.tell(Level.INFO, "mcp.gateway.stderr", {"line": text})


@asynccontextmanager
async def open_pipe(endpoint: Endpoint, program: Program) -> AsyncGenerator[Pipe]:
    """Start a program and read what it writes; once settled, its end ends the block.

    Raises:
        UpstreamError: It cannot be started, or has ended.
    """
    try:
        process = await start(program)
    except OSError as exc:
        raise ended(endpoint.gateway, CANNOT_START) from exc

    pipe = Pipe(endpoint, process)

    async def fail_at_the_end() -> None:
        await pipe.is_settled.wait()
        await pipe.is_over.wait()

        # Whoever waits for an answer is told first.
        with anyio.move_on_after(_LAST_WORDS_SECONDS):
            await pipe.is_told.wait()

        raise pipe.failure

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(pipe.listen)
            group.start_soon(pipe.watch)
            group.start_soon(pipe.tell_errors)
            group.start_soon(fail_at_the_end)
            yield pipe
            group.cancel_scope.cancel()
    finally:
        pipe.messages.close()
        await stop(process)
