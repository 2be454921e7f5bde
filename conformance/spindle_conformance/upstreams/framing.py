"""How events are written on the wire: server-sent events, named or not, and lines of JSON.

Data only: nothing here knows of sockets, or of what an event means.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.types import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """How events are written on the wire."""

    newline: str = "\n"
    field: str = "data: "
    """What a data line begins with; named events spell `event:` with the same space or without."""
    preamble: str = ""
    """Text before the first event: a byte order mark, a comment."""
    comment: str = ""
    """A comment that is written before every event."""
    done: bool = True
    """Whether `[DONE]` ends the stream, where a dialect has it."""
    last_blank: bool = True
    """Whether the last event is closed by its blank line."""
    split_data: bool = False
    """Whether an event's JSON is spread over two data lines."""


PLAIN_FRAMING = Framing()
CRLF_FRAMING = Framing(
    newline="\r\n", field="data:", preamble="\ufeff: hello\r\n\r\n", split_data=True
)
BARE_FRAMING = Framing(done=False, last_blank=False)
COMMENT_FRAMING = Framing(comment="keep-alive")


def dump(value: Json) -> bytes:
    """Return JSON as an upstream writes it: compact, with its characters unescaped."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def frame(events: Sequence[JsonObject], framing: Framing = PLAIN_FRAMING) -> bytes:
    """Return events as server-sent events."""
    texts = [_event(dump(event).decode(), framing) for event in events]

    if framing.done:
        texts.append(f"{framing.field}[DONE]{framing.newline}{framing.newline}")

    return _closed("".join(texts), framing)


def frame_named(events: Sequence[JsonObject], framing: Framing = PLAIN_FRAMING) -> bytes:
    """Return events as server-sent events that are named by their own `type`."""
    name_field = framing.field.replace("data", "event")
    texts = [
        _event(dump(event).decode(), framing, f"{name_field}{event['type']}{framing.newline}")
        for event in events
    ]
    return _closed("".join(texts), framing)


def frame_lines(events: Sequence[JsonObject], framing: Framing = PLAIN_FRAMING) -> bytes:
    """Return events as lines of JSON; of a framing only the line ends mean something here."""
    text = "".join(f"{dump(event).decode()}{framing.newline}" for event in events)
    return (text if framing.last_blank else text.rstrip("\r\n")).encode()


def split_text(text: str, size: int) -> tuple[str, ...]:
    """Cut a text into pieces of `size` characters."""
    return tuple(text[start : start + size] for start in range(0, len(text), size))


def _closed(text: str, framing: Framing) -> bytes:
    text = framing.preamble + text
    return (text if framing.last_blank else text.rstrip("\r\n")).encode()


def _event(data: str, framing: Framing, name_line: str = "") -> str:
    newline, lines = framing.newline, [data]
    comment = f": {framing.comment}{newline}{newline}" if framing.comment else ""

    if framing.split_data:
        # Between two members of the object a line break changes nothing for a JSON reader.
        head, comma, tail = data.partition(",")
        lines = [head + comma, tail]

    body = "".join(f"{framing.field}{line}{newline}" for line in lines)
    return comment + name_line + body + newline
