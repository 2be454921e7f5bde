"""What every reader does: read a whole answer, and a stream with all its rules."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from spindle_conformance.parity.said import Broken, Said, require

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event as the wire shows it."""

    name: str
    data: str

    def json(self) -> JsonObject:
        """Return its data.

        Raises:
            Broken: It is no JSON object.
        """
        return object_of(self.data, "an event's data is a JSON object")


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What a stream came to."""

    said: Said
    failed: bool
    """It ended in an error; `said` is what came before it."""


class Reader(ABC):
    """Reads one surface as its clients do; whatever they could stumble over is `Broken`."""

    surface: ClassVar[str]

    @abstractmethod
    def whole(self, body: bytes) -> Said:
        """Return what a whole answer says.

        Raises:
            Broken: It is not of the surface's form.
        """

    @abstractmethod
    def stream(self, body: bytes) -> Streamed:
        """Return what a stream says.

        Raises:
            Broken: A rule of the surface's streams does not hold.
        """


def events_of(body: bytes) -> list[Event]:
    """Return the events of a stream; comments are left out.

    Raises:
        Broken: It is not the plain form that every client reads.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as exc:
        raise Broken("a stream is UTF-8") from exc

    require("\r" not in text, "lines end in LF")
    require(not text or text.endswith("\n\n"), "the last event is closed by a blank line")
    found: list[Event] = []

    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]

        if not lines:
            continue

        name = ""

        if lines[0].startswith("event: "):
            name = lines.pop(0).removeprefix("event: ")

        require(len(lines) == 1, "an event has one data line", block)
        require(lines[0].startswith("data: "), "a data line begins with `data: `", block)
        found.append(Event(name=name, data=lines[0].removeprefix("data: ")))

    return found


def object_of(text: str | bytes, rule: str) -> JsonObject:
    """Return a JSON object.

    Raises:
        Broken: It is none.
    """
    try:
        value: Json = json.loads(text)
    except ValueError as exc:
        raise Broken(f"{rule}: {text!s:.200}") from exc

    if not isinstance(value, dict):
        raise Broken(f"{rule}: {text!s:.200}")

    return value


def objects(value: Json, rule: str) -> list[JsonObject]:
    """Return a list of objects.

    Raises:
        Broken: It is none.
    """
    require(isinstance(value, list), rule, value)
    found = [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
    require(isinstance(value, list) and len(found) == len(value), rule, value)
    return found


def inner(value: JsonObject, name: str) -> JsonObject:
    """Return a member that is an object.

    Raises:
        Broken: It is none.
    """
    found = value.get(name)

    if not isinstance(found, dict):
        raise Broken(f"{name} is an object: {found!s:.200}")

    return found


def text(value: Json, rule: str = "is a text") -> str:
    """Return a text; empty for null.

    Raises:
        Broken: It is something else.
    """
    if value is None:
        return ""

    if not isinstance(value, str):
        raise Broken(f"{rule}: {value!s:.200}")

    return value


def whole_number(value: Json) -> int:
    """Return a count; 0 where there is none.

    Raises:
        Broken: It is something else.
    """
    if value is None:
        return 0

    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Broken(f"a count is a whole number: {value!s:.200}")

    return value
