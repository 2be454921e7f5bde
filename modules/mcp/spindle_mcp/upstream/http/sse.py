"""An incremental reader of server-sent events; knows nothing of what is in them."""

from __future__ import annotations


class EventTooLong(Exception):
    """One event is longer than the reader takes."""


class EventReader:
    """Turns chunks of an event stream, however it was cut, into the data of its message events."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._unfinished: list[bytes] = []
        self._data: list[bytes] = []
        self._event = b"message"
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next chunk; return the data of each message event it completes.

        Raises:
            EventTooLong: An event grows past the limit.
        """
        return [data for event, data in self.feed_events(chunk) if event == b"message"]

    def feed_events(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        """Take the next chunk; return the name and the data of each event it completes.

        Raises:
            EventTooLong: An event grows past the limit.
        """
        self._size += len(chunk)

        if b"\n" not in chunk and b"\r" not in chunk:
            self._unfinished.append(chunk)
            self._check()
            return []

        text = b"".join((*self._unfinished, chunk))
        lines = text.splitlines(keepends=True)
        self._unfinished.clear()

        # A carriage return at the end may be the first half of a line end.
        if not lines[-1].endswith(b"\n"):
            self._unfinished.append(lines.pop())

        found = [event for line in lines if (event := self._take(line.rstrip(b"\r\n"))) is not None]
        self._check()
        return found

    def _take(self, line: bytes) -> tuple[bytes, bytes] | None:
        if not line:
            return self._dispatch()

        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")

        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value

        return None

    def _dispatch(self) -> tuple[bytes, bytes] | None:
        data, event = b"\n".join(self._data), self._event
        self._data.clear()
        self._event = b"message"
        self._size = sum(map(len, self._unfinished))

        if len(data) > self._limit:
            raise EventTooLong

        return (event, data) if data else None

    def _check(self) -> None:
        if self._size > self._limit:
            raise EventTooLong
