"""Server-sent events as they come from upstreams, good and bad: bytes in at any cut, events out.

Accepts LF, CRLF and CR, comments, several data lines, a BOM, no space after the colon, UTF-8 cut
between reads, and a last event without its blank line. Bounds the size of one event.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from spindle_spi.errors import UpstreamError

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CANONICAL_START = b"data: "
_NAMED_START = b"event: "
_CANONICAL_END = b"\n\n"


class SseEvent(NamedTuple):
    """One event: its name, empty for the unnamed, and its data."""

    name: str
    data: bytes


class SseParser:
    """Cuts a body into events; feed it what each read gave."""

    __slots__ = ("_data", "_first", "_limit", "_name", "_rest", "_size", "comments")

    def __init__(self, limit: int = 16 * 1024 * 1024) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._name = ""
        self._size = 0
        self._first = True
        self.comments = 0
        """Comments seen so far: signs of life between events."""

    def feed(self, data: bytes) -> list[SseEvent]:
        """Return the events that end in this read.

        Raises:
            UpstreamError: An event is larger than the limit.
        """
        if not (self._rest or self._data or self._name):
            events = _canonical(data)

            if events is not None:
                self._first = False
                return events

        return self._feed_lines(data)

    def close(self) -> list[SseEvent]:
        """Return the event the body ended in, when its blank line is missing."""
        if self._rest:
            line = bytes(self._rest).removesuffix(b"\r")
            self._rest.clear()
            self._line(line)

        events: list[SseEvent] = []
        self._dispatch(events)
        return events

    def _feed_lines(self, data: bytes) -> list[SseEvent]:
        start = len(self._rest)
        self._rest += data

        if self._first:
            if len(self._rest) < len(_BOM) and _BOM.startswith(self._rest):
                return []

            self._first = False
            start = 0

            if self._rest.startswith(_BOM):
                del self._rest[: len(_BOM)]

        return self._lines(max(0, start - 1))

    def _lines(self, search_from: int) -> list[SseEvent]:
        """Take every whole line; a CR at the very end waits, because an LF may follow."""
        events: list[SseEvent] = []
        ends = [match.span() for match in _LINE_END.finditer(self._rest, search_from)]
        position = 0

        if ends and ends[-1][1] == len(self._rest) and self._rest.endswith(b"\r"):
            ends.pop()

        for start, end in ends:
            line = bytes(self._rest[position:start])
            position = end

            if line:
                self._line(line)
            else:
                self._dispatch(events)

        del self._rest[:position]

        if len(self._rest) + self._size > self._limit:
            raise UpstreamError(
                "The upstream sent an event that is too large.", code="upstream_too_large"
            )

        return events

    def _line(self, line: bytes) -> None:
        if line.startswith(b":"):
            self.comments += 1
            return

        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")

        if field == b"data":
            self._data.append(value)
            self._size += len(value)
        elif field == b"event":
            self._name = value.decode(errors="replace")

    def _dispatch(self, events: list[SseEvent]) -> None:
        if self._data:
            events.append(SseEvent(self._name, b"\n".join(self._data)))
            self._data = []

        self._name = ""
        self._size = 0


def _canonical(data: bytes) -> list[SseEvent] | None:
    """Return the events of a read that holds whole events in a usual form; else None."""
    if not data.endswith(_CANONICAL_END) or b"\r" in data:
        return None

    if not data.startswith(_CANONICAL_START):
        return _named(data) if data.startswith(_NAMED_START) else None

    if data.count(b"\n") == 2:
        return [SseEvent("", data[6:-2])]

    parts = data[6:-2].split(b"\n\ndata: ")
    return None if any(b"\n" in part for part in parts) else [SseEvent("", part) for part in parts]


def _named(data: bytes) -> list[SseEvent] | None:
    """Return the events of a read in which each is a name and one line of data; else None."""
    events: list[SseEvent] = []

    for part in data[:-2].split(b"\n\n"):
        name, _, value = part.partition(b"\n")

        if (
            not name.startswith(_NAMED_START)
            or not value.startswith(_CANONICAL_START)
            or b"\n" in value
        ):
            return None

        events.append(SseEvent(name[7:].decode(errors="replace"), value[6:]))

    return events
