"""Calls of tools in a stream, one after the other: a later one waits until the first is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.surfaces.messages.blocks import arguments_of
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spindle_spi.types import Json, JsonObject


class Calls:
    """Takes the `tool_calls` of well-formed deltas, gives what may be told of them now."""

    __slots__ = ("_calls", "_told")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._told = 0
        """How many of them are told, in order; the last of these may still go on."""

    def take(self, entries: Iterable[Json]) -> Iterator[tuple[JsonObject | None, str]]:
        """Yield how the told calls go on: what begins one, None for the same, and arguments.

        Raises:
            UpstreamError: A call goes on after another has begun.
        """
        for entry in entries:
            if isinstance(entry, dict):
                yield from self._take(entry)

    def rest(self, *, cut: bool) -> Iterator[tuple[JsonObject | None, str]]:
        """Yield what has waited until the end; `cut`: the answer ended where its tokens did.

        Raises:
            UpstreamError: The arguments of a call are no JSON object.
        """
        for number, call in enumerate(self._calls):
            arguments_of(call.said, cut=cut)

            if number >= self._told:
                self._told += 1
                yield call.opening, call.said

    def _take(self, entry: JsonObject) -> Iterator[tuple[JsonObject | None, str]]:
        number = self._known(entry)
        piece = self._calls[number].add(entry)

        if number == self._told - 1:
            yield None, piece
        elif number < self._told and piece.strip():
            raise _out_of_order()

        # Those that wait follow in order, as far as what comes before them is whole.
        while self._told < len(self._calls) and self._is_whole_so_far():
            call = self._calls[self._told]
            self._told += 1
            yield call.opening, call.said

    def _is_whole_so_far(self) -> bool:
        return self._told == 0 or _is_whole(self._calls[self._told - 1].said)

    def _known(self, entry: JsonObject) -> int:
        index = entry.get("index")

        for number, call in enumerate(self._calls):
            if call.index == index:
                return number

        self._calls.append(_Call(index))
        return len(self._calls) - 1


class _Call:
    """One call so far."""

    __slots__ = ("_pieces", "id", "index", "name")

    def __init__(self, index: Json) -> None:
        self.index = index
        self.id: Json = None
        self.name: Json = None
        self._pieces: list[str] = []

    @property
    def said(self) -> str:
        """Its arguments so far."""
        return "".join(self._pieces)

    @property
    def opening(self) -> JsonObject:
        """What begins it."""
        return {"id": self.id, "name": self.name}

    def add(self, entry: JsonObject) -> str:
        """Take a delta; return its piece of the arguments."""
        function = entry.get("function")
        fields = function if isinstance(function, dict) else {}
        self.id = self.id or entry.get("id")
        self.name = self.name or fields.get("name")
        piece = fields.get("arguments")

        if not isinstance(piece, str):
            return ""

        self._pieces.append(piece)
        return piece


def _is_whole(arguments: str) -> bool:
    try:
        arguments_of(arguments, cut=False)
    except UpstreamError:
        return False

    return bool(arguments.strip())


def _out_of_order() -> UpstreamError:
    return UpstreamError("The upstream mixed up its calls of tools.", code="upstream_garbage")
