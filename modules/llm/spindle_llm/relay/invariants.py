"""The rules of a well-formed chat stream, kept whatever an upstream sends.

One id, time and model on every chunk; a role once, first; tools counted from zero without gaps,
their id, type and name once; arguments as text; one finish reason for each choice, on its last
chunk; the usage apart, at the end. A chunk that keeps the rules is passed on as it came.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

from spindle_llm.providers.refusals import told_in_stream
from spindle_llm.relay.answers import finish_reason
from spindle_llm.relay.tool_deltas import ToolDeltas
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from spindle_spi.errors import GatewayError
    from spindle_spi.types import Json, JsonObject

CHUNK = "chat.completion.chunk"
_HEAD = frozenset({"id", "object", "created", "model", "choices", "usage"})


class Piece(NamedTuple):
    """A chunk to send on, with its bytes when the rules changed nothing but the model's name."""

    chunk: JsonObject
    raw: bytes | None


class StreamRules:
    """Takes an upstream's chunks in order; gives the chunks a client may see."""

    def __init__(self, *, model: str, fallback_id: str) -> None:
        self._model = model
        self._fallback_id = fallback_id
        self.id: str | None = None
        """What the stream calls itself; None before its first chunk."""
        self._created: int | None = None
        self._choices: dict[int, _Choice] = {}
        self._usage_piece: Piece | None = None
        self._early: JsonObject = {}
        """What came before the answer."""
        self.usage: Json = None
        """The usage object the upstream sent last."""
        self.deltas = 0
        """Chunks that carried something, for an estimate when there is no usage."""

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """The finish reason of each choice that has one."""
        return tuple(choice.finish for choice in self._choices.values() if choice.finish)

    @property
    def is_whole(self) -> bool:
        """Whether every choice seen so far has come to its end."""
        return bool(self._choices) and all(choice.finish for choice in self._choices.values())

    def take(self, chunk: JsonObject, raw: bytes | None = None) -> list[Piece]:
        """Return what may go out now; `chunk` is changed in place.

        Raises:
            UpstreamError: It is no chunk of a chat stream, or it is the upstream's error.
        """
        if chunk.get("error"):
            raise told_error(chunk["error"])

        choices = chunk.get("choices")
        usage = chunk.get("usage")

        if not isinstance(choices, list):
            if not isinstance(usage, dict):
                raise UpstreamError("The upstream sent no chat chunk.", code="upstream_garbage")

            chunk["choices"] = choices = []
            raw = None

        if self.id is None and not choices and not isinstance(usage, dict) and not chunk.get("id"):
            # Azure's first chunk is of no answer yet; what it tells goes with the next.
            self._early.update({k: v for k, v in chunk.items() if k not in _HEAD and v is not None})
            return []

        if self._early:
            chunk.update({**self._early, **chunk})
            self._early.clear()
            raw = None

        changed = self._head(chunk)

        if isinstance(usage, dict):
            self.usage = usage

            if not choices:
                self._usage_piece = Piece(chunk, None if changed else raw)
                return []

            chunk["usage"] = None
            changed = True

        return self._take_choices(chunk, choices, None if changed else raw)

    def finish(self, *, with_usage: bool) -> list[Piece]:
        """Return what is due at the end: last chunks of the choices, and the usage if wanted."""
        pieces: list[Piece] = []

        if not self._choices:
            # An answer of nothing is an answer: it has its one choice, as a whole one has.
            choice = self._choices[0] = _Choice()
            choice.held = self._chunk(0, {"role": "assistant", "content": ""}, choice.ending())

        for index, choice in sorted(self._choices.items()):
            missing = choice.tools.missing_arguments()

            if missing and choice.held is not None:
                # The held chunk may be the one that introduces the call.
                pieces.append(_without_finish(choice.held))
                choice.held = None

            pieces += [self._chunk(index, delta) for delta in missing]
            pieces.append(choice.held or self._chunk(index, {}, choice.ending()))
            choice.finish = choice.ending()

        if with_usage and self._usage_piece is not None:
            pieces.append(self._usage_piece)
        elif with_usage and isinstance(self.usage, dict):
            pieces.append(Piece({**self._frame(), "choices": [], "usage": self.usage}, None))

        return pieces

    def _head(self, chunk: JsonObject) -> bool:
        """Make id, time, kind and model those of the stream; tell whether that changed more."""
        if self.id is None:
            said, created = chunk.get("id"), chunk.get("created")
            self.id = said if isinstance(said, str) and said else self._fallback_id
            self._created = created if isinstance(created, int) else int(time.time())

        changed = (
            chunk.get("id") != self.id
            or chunk.get("created") != self._created
            or chunk.get("object") != CHUNK
            or not isinstance(chunk.get("model"), str)
        )

        if changed:
            chunk.update(self._frame())
        else:
            chunk["model"] = self._model

        return changed

    def _frame(self) -> JsonObject:
        return {
            "id": self.id or self._fallback_id,
            "object": CHUNK,
            "created": int(time.time()) if self._created is None else self._created,
            "model": self._model,
        }

    def _chunk(self, index: int, delta: JsonObject, finish: str | None = None) -> Piece:
        choice: JsonObject = {"index": index, "delta": delta, "finish_reason": finish}
        return Piece({**self._frame(), "choices": [choice]}, None)

    def _take_choices(
        self, chunk: JsonObject, choices: list[Json], raw: bytes | None
    ) -> list[Piece]:
        if not choices:
            return [Piece(chunk, raw)]

        if len(choices) == 1 and isinstance(choices[0], dict):
            return self._take_one(chunk, choices[0], raw)

        pieces: list[Piece] = []

        for entry in choices:
            if not isinstance(entry, dict):
                raise UpstreamError("The upstream sent no chat chunk.", code="upstream_garbage")

            pieces += self._take_one({**chunk, "choices": [entry]}, entry, None)

        return pieces

    def _take_one(self, chunk: JsonObject, entry: JsonObject, raw: bytes | None) -> list[Piece]:
        index = entry.get("index")

        if not isinstance(index, int):
            entry["index"] = index = 0
            raw = None

        choice = self._choices.get(index)

        if choice is None:
            choice = self._choices[index] = _Choice()

        changed = choice.apply(entry)
        piece = Piece(chunk, None if changed else raw)
        self.deltas += 1

        if choice.held is not None:
            return self._after_end(choice, entry, piece)

        if entry.get("finish_reason") is not None:
            choice.held = piece
            return []

        return [piece]

    def _after_end(self, choice: _Choice, entry: JsonObject, piece: Piece) -> list[Piece]:
        """The upstream goes on with a choice it had ended: the end it named was none."""
        assert choice.held is not None

        if not _says_something(entry):
            return []

        pieces = [_without_finish(choice.held)]
        choice.held = piece if entry.get("finish_reason") is not None else None

        if choice.held is None:
            pieces.append(piece)

        return pieces


class _Choice:
    """What one choice has said so far."""

    __slots__ = ("called", "finish", "held", "started", "tools")

    def __init__(self) -> None:
        self.started = False
        self.called = False
        self.finish: str | None = None
        self.held: Piece | None = None
        """The chunk with the finish reason, until it is sure that it is the last."""
        self.tools = ToolDeltas()

    def apply(self, entry: JsonObject) -> bool:
        """Make one choice of a chunk keep the rules; tell whether that changed it."""
        delta = entry.get("delta")
        changed = False

        if not isinstance(delta, dict):
            message = entry.pop("message", None)
            entry["delta"] = delta = message if isinstance(message, dict) else {}
            changed = True

        changed |= self._role(delta)
        calls = delta.get("tool_calls")

        if isinstance(calls, list) and calls:
            self.called = True
            changed |= self.tools.apply(calls)

        return self._finish(entry) or changed

    def ending(self) -> str:
        """Return the finish reason of a choice whose upstream named none, or named it early."""
        return finish_reason(self.finish, called=self.called)

    def _role(self, delta: JsonObject) -> bool:
        said = delta.get("role")

        if not self.started:
            self.started = True

            if isinstance(said, str):
                return False

            delta["role"] = "assistant"
            return True

        if said is None:
            return False

        del delta["role"]
        return True

    def _finish(self, entry: JsonObject) -> bool:
        said = entry.get("finish_reason")

        if said is None:
            return False

        self.finish = reason = finish_reason(said, called=self.called)
        entry["finish_reason"] = reason
        return reason != said


def told_error(error: Json) -> GatewayError:
    """Return the error an upstream sent inside a stream; its words stay with us."""
    return told_in_stream(error)


def _says_something(entry: JsonObject) -> bool:
    delta = entry["delta"]
    return isinstance(delta, dict) and any(
        value not in (None, "", []) for key, value in delta.items() if key != "role"
    )


def _without_finish(piece: Piece) -> Piece:
    chunk: JsonObject = json.loads(json.dumps(piece.chunk))
    choices = chunk["choices"]

    if isinstance(choices, list) and isinstance(choices[0], dict):
        choices[0]["finish_reason"] = None

    return Piece(chunk, None)
