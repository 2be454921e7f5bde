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

    __slots__ = ("_calls", "_current")

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._current: _Call | None = None

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
        if self._current is not None:
            arguments_of(self._current.said, cut=cut)

        for call in self._calls:
            if not call.is_told:
                arguments_of(call.said, cut=cut)
                call.is_told = True
                yield call.opening, call.said

    def _take(self, entry: JsonObject) -> Iterator[tuple[JsonObject | None, str]]:
        call = self._known(entry)
        piece = call.add(entry)

        if call is self._current:
            yield None, piece
        elif call.is_told:
            if piece.strip():
                raise _out_of_order()
        elif self._current is None or _is_whole(self._current.said):
            self._current = call
            call.is_told = True
            yield call.opening, call.said

    def _known(self, entry: JsonObject) -> _Call:
        index = entry.get("index")

        for call in self._calls:
            if call.index == index:
                return call

        call = _Call(index)
        self._calls.append(call)
        return call


class _Call:
    """One call so far."""

    __slots__ = ("_pieces", "id", "index", "is_told", "name")

    def __init__(self, index: Json) -> None:
        self.index = index
        self.id: Json = None
        self.name: Json = None
        self.is_told = False
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
