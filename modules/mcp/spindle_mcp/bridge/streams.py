"""Standard input as lines and standard output as a place for lines, for one client process."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

import anyio
from anyio.from_thread import run as run_in_loop
from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

MAX_LINE: Final = 64 * 1024 * 1024
"""Longest message taken from either side."""

_AHEAD: Final = 16
_CHUNK: Final = 64 * 1024


class Source(Protocol):
    """A blocking stream of bytes, without a buffer of its own.

    A buffer's lock, held by a reading thread, would keep the interpreter from ending.
    """

    def read(self, size: int, /) -> bytes | None:
        """Return what there is, at most `size` bytes; nothing at the end."""
        ...


@asynccontextmanager
async def reading(source: Source) -> AsyncGenerator[MemoryObjectReceiveStream[bytes]]:
    """Give the lines of a blocking stream.

    Reading happens in a thread that the process does not wait for: a read of standard input
    cannot be interrupted.
    """
    send, receive = anyio.create_memory_object_stream[bytes](_AHEAD)
    token = current_token()

    def read() -> None:
        try:
            for line in _lines(source):
                run_in_loop(send.send, line, token=token)

            run_in_loop(_close, send, token=token)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, RuntimeError):
            # The bridge has ended; nobody wants more lines.
            return

    threading.Thread(target=read, name="stdin", daemon=True).start()

    with receive, send:
        yield receive


def _lines(source: Source) -> Iterator[bytes]:
    unfinished: list[bytes] = []
    size = 0

    while chunk := source.read(_CHUNK):
        *whole, rest = chunk.split(b"\n")

        for line in whole:
            yield b"".join((*unfinished, line))
            unfinished.clear()
            size = 0

        unfinished.append(rest)
        size += len(rest)

        if size > MAX_LINE:
            # Whoever sends this speaks no protocol we know.
            return

    if size:
        yield b"".join(unfinished)


async def _close(send: MemoryObjectSendStream[bytes]) -> None:
    send.close()


class Writer:
    """Writes one line at a time, whole."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._lock = anyio.Lock()

    async def write(self, message: bytes) -> None:
        """Write a message.

        Raises:
            OSError: Nobody reads any more.
        """
        async with self._lock:
            await anyio.to_thread.run_sync(self._write, message + b"\n")

    def _write(self, line: bytes) -> None:
        self._target.write(line)
        self._target.flush()
