"""Lines out of chunks, however the bytes were cut."""

from __future__ import annotations


class LineTooLong(Exception):
    """One line is longer than the reader takes."""


class LineReader:
    """Turns chunks into lines without their ends; the last one may wait for its end."""

    def __init__(self, limit: int, *, is_cutting: bool = False) -> None:
        self._limit = limit
        self._is_cutting = is_cutting
        self._unfinished = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next chunk; return the lines it completes.

        Raises:
            LineTooLong: A line grows past the limit, and lines are not to be cut.
        """
        head, *tail = chunk.split(b"\n")
        self._add(head)

        if not tail:
            return []

        lines = [bytes(self._unfinished), *(self._checked(line) for line in tail[:-1])]
        self._unfinished.clear()
        self._add(tail[-1])
        return [line.rstrip(b"\r") for line in lines]

    def rest(self) -> bytes:
        """Return what has no end, when there will be none."""
        return bytes(self._unfinished)

    def _add(self, part: bytes) -> None:
        if self._is_cutting:
            part = part[: self._limit - len(self._unfinished)]
        elif len(self._unfinished) + len(part) > self._limit:
            raise LineTooLong

        self._unfinished += part

    def _checked(self, line: bytes) -> bytes:
        if len(line) <= self._limit:
            return line

        if not self._is_cutting:
            raise LineTooLong

        return line[: self._limit]
