"""Signed thoughts of a streamed answer under a guard: each text a lane of its own.

A signature goes out after the text it signs, and only if that went out as it came: what a plugin
changed is no longer what the model's provider signed. Sealed thoughts are judged as what nobody
can read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_spi.errors import UpstreamError
from spindle_spi.plugin import Lane, Segment, SegmentKind

if TYPE_CHECKING:
    from spindle_spi.plugin import StreamGuard
    from spindle_spi.types import Json, JsonObject

_TEXTS: Final = ("text", "summary", "refusal")


class GuardedThoughts:
    """The `reasoning_details` of one choice."""

    __slots__ = ("_choice", "_guard", "_thoughts")

    def __init__(self, guard: StreamGuard, choice: int) -> None:
        self._guard = guard
        self._choice = choice
        self._thoughts: list[_Thought] = []

    async def take(self, pieces: Json) -> list[Json]:
        """Return the pieces of a delta that may go out now.

        Raises:
            PluginDenied: The answer is refused.
            UpstreamError: A thought goes on after it was signed.
        """
        return [
            released
            for piece in (pieces if isinstance(pieces, list) else ())
            if isinstance(piece, dict) and (released := await self._take(piece)) is not None
        ]

    async def close(self) -> list[Json]:
        """Return what was held back of thoughts that nobody signed."""
        rests: list[Json] = []

        for thought in self._thoughts:
            for name, rest in (await self._rests(thought)).items():
                rests.append({**thought.head, name: rest})

        return rests

    async def _take(self, piece: JsonObject) -> JsonObject | None:
        thought = self._known(piece)
        is_first = thought is None

        if thought is None:
            thought = _Thought(piece, len(self._thoughts))
            self._thoughts.append(thought)

            if piece.get("data") is not None:
                return await self._unreadable(piece, thought)

        released = dict(piece)

        for name in _TEXTS:
            text = piece.get(name)

            if isinstance(text, str) and text:
                released[name] = await self._push(thought, name, text)

        if piece.get("signature"):
            for name, rest in (await self._rests(thought)).items():
                released[name] = f"{released.get(name) or ''}{rest}"

            if not thought.is_unchanged:
                del released["signature"]

        says = any(released.get(name) for name in (*_TEXTS, "signature", "data"))
        return released if is_first or says else None

    async def _push(self, thought: _Thought, name: str, text: str) -> str:
        if thought.is_closed:
            raise UpstreamError(
                "The upstream went on with a thought it had signed.", code="upstream_garbage"
            )

        released = await self._guard.push(self._lane(thought, name), text)
        thought.note(name, text, released)
        return released

    async def _rests(self, thought: _Thought) -> dict[str, str]:
        """End the texts of a thought; return what was held back of them."""
        if thought.is_closed:
            return {}

        thought.is_closed = True
        rests: dict[str, str] = {}

        for name in thought.names:
            rest = await self._guard.close(self._lane(thought, name))
            thought.note(name, "", rest)

            if rest:
                rests[name] = rest

        return rests

    async def _unreadable(self, piece: JsonObject, thought: _Thought) -> JsonObject:
        pointer = f"/choices/{self._choice}/message/reasoning_details/{thought.position}"
        sealed = Segment(pointer=pointer, kind=SegmentKind.OPAQUE, role="assistant")
        (judged,) = await self._guard.judge((sealed,))
        return {"type": "text", "text": judged.text} if judged.text else piece

    def _known(self, piece: JsonObject) -> _Thought | None:
        index = piece.get("index")
        known = (thought for thought in self._thoughts if thought.index == index)
        return None if index is None else next(known, None)

    def _lane(self, thought: _Thought, name: str) -> Lane:
        channel = f"reasoning_details/{thought.position}/{name}"
        return Lane(choice=self._choice, channel=channel)


class _Thought:
    """One entry: what came of its texts, and what went out."""

    __slots__ = ("_pushed", "_released", "head", "index", "is_closed", "position")

    def __init__(self, piece: JsonObject, position: int) -> None:
        self.index = piece.get("index")
        self.position = position
        self.head: JsonObject = {
            name: piece[name] for name in ("type", "format", "index") if name in piece
        }
        self.is_closed = False
        self._pushed: dict[str, list[str]] = {}
        self._released: dict[str, list[str]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Members that hold texts."""
        return tuple(self._pushed)

    @property
    def is_unchanged(self) -> bool:
        """Whether its texts went out as they came."""
        return all(
            "".join(self._pushed[name]) == "".join(self._released[name]) for name in self._pushed
        )

    def note(self, name: str, pushed: str, released: str) -> None:
        """Take a piece as it came and as it went out."""
        self._pushed.setdefault(name, []).append(pushed)
        self._released.setdefault(name, []).append(released)
