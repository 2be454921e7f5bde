"""A streamed answer under a guard: texts lane by lane, tool arguments whole, framing kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spindle_llm.relay.reasoning import DETAILS
from spindle_llm.relay.wire_json import answer_too_deep
from spindle_llm.surfaces.guarded_thoughts import GuardedThoughts
from spindle_spi.payloads import lift_embedded_json, write_back
from spindle_spi.plugin import Lane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.plugin import Segment, StreamGuard
    from spindle_spi.types import Json, JsonObject

_CHANNELS = ("content", "reasoning_content", "reasoning", "refusal")


class GuardedStream:
    """Takes the chunks of a well-formed stream, gives those that may go out."""

    def __init__(self, guard: StreamGuard) -> None:
        self._guard = guard
        self._choices: dict[int, _Choice] = {}
        self._frame: JsonObject = {}

    async def take(self, chunk: JsonObject) -> list[JsonObject]:
        """Return what may go out now; `chunk` is changed in place.

        Raises:
            PluginDenied: The answer is refused; send nothing more.
        """
        self._frame = {name: chunk.get(name) for name in ("id", "object", "created", "model")}
        choices = chunk.get("choices")
        entries = choices if isinstance(choices, list) else []
        before: list[JsonObject] = []
        kept: list[Json] = []

        for entry in entries:
            if not isinstance(entry, dict):
                continue

            before += await self._take(entry)

            if entry["delta"] or entry.get("finish_reason") is not None:
                kept.append(entry)

        if entries and not kept:
            return before

        chunk["choices"] = kept
        return [*before, chunk]

    async def finish(self) -> None:
        """Say that the answer is complete; without that, settling refuses it."""
        await self._guard.finish()

    async def _take(self, entry: JsonObject) -> list[JsonObject]:
        """Guard one choice of a chunk; return chunks that must go out before it."""
        index, delta = entry.get("index"), entry.get("delta")
        index = index if isinstance(index, int) else 0

        if not isinstance(delta, dict):
            entry["delta"] = {}
            return []

        choice = self._choices.get(index)

        if choice is None:
            choice = self._choices[index] = _Choice(GuardedThoughts(self._guard, index))

        # Log probabilities repeat the text token by token, and nobody has judged them.
        entry["logprobs"] = None
        choice.keep_calls(delta)
        await self._push(index, choice, delta)
        details = await choice.thoughts.take(delta.pop(DETAILS, None))

        if details:
            delta[DETAILS] = details

        if entry.get("finish_reason") is None:
            return []

        held = [dict(delta)] if delta else []
        delta.clear()
        return [self._chunk(index, piece) for piece in [*held, *await self._close(index, choice)]]

    async def _push(self, index: int, choice: _Choice, delta: JsonObject) -> None:
        for channel in _CHANNELS:
            text = delta.get(channel)

            if not isinstance(text, str) or not text:
                continue

            choice.channels[channel] = None
            released = await self._guard.push(Lane(choice=index, channel=channel), text)

            if released:
                delta[channel] = released
            else:
                del delta[channel]

    async def _close(self, index: int, choice: _Choice) -> list[JsonObject]:
        """Return the deltas that were held back until the end of a choice."""
        deltas: list[JsonObject] = [{DETAILS: [piece]} for piece in await choice.thoughts.close()]

        for channel in choice.channels:
            rest = await self._guard.close(Lane(choice=index, channel=channel))

            if rest:
                deltas.append({channel: rest})

        for call in choice.calls.values():
            await self._judge(call, f"/choices/{index}/message/tool_calls/{call['index']}/function")
            deltas.append({"tool_calls": [call]})

        if choice.legacy:
            holder: JsonObject = {"function": choice.legacy}
            await self._judge(holder, f"/choices/{index}/message/function_call")
            deltas.append({"function_call": holder["function"]})

        return deltas

    async def _judge(self, call: JsonObject, pointer: str) -> None:
        """Have the arguments of a call judged whole, after decoding; replace them in place."""
        function = call.get("function")

        if not isinstance(function, dict):
            return

        try:
            call["function"] = await self._judged(function, pointer)
        except RecursionError as exc:
            raise answer_too_deep() from exc

    async def _judged(self, function: JsonObject, pointer: str) -> JsonObject:
        arguments = function.get("arguments")
        before = lift_embedded_json(arguments if isinstance(arguments, str) else "", "/arguments")
        after = await self._guard.judge(_moved(before, pointer))
        return write_back(function, before, _moved(after, "", len(pointer)))

    def _chunk(self, index: int, delta: JsonObject) -> JsonObject:
        choice: JsonObject = {"index": index, "delta": delta, "finish_reason": None}
        return {**self._frame, "choices": [choice]}


class _Choice:
    """What one choice holds back."""

    __slots__ = ("calls", "channels", "legacy", "thoughts")

    def __init__(self, thoughts: GuardedThoughts) -> None:
        self.thoughts = thoughts
        self.channels: dict[str, None] = {}
        """Channels that were used, in order."""
        self.calls: dict[int, JsonObject] = {}
        self.legacy: JsonObject = {}

    def keep_calls(self, delta: JsonObject) -> None:
        """Take the calls out of a delta and keep them until they are whole."""
        calls = delta.pop("tool_calls", None)

        for entry in calls if isinstance(calls, list) else ():
            if isinstance(entry, dict):
                index = entry.get("index")
                kept = self.calls.setdefault(index if isinstance(index, int) else 0, {})
                _extend(kept, entry)

        legacy = delta.pop("function_call", None)

        if isinstance(legacy, dict):
            _extend(self.legacy, legacy)


def _extend(kept: JsonObject, piece: JsonObject) -> None:
    for name, value in piece.items():
        old = kept.get(name)

        if isinstance(old, dict) and isinstance(value, dict):
            _extend(old, value)
        elif isinstance(old, str) and isinstance(value, str):
            kept[name] = old + value
        elif value is not None:
            kept[name] = value


def _moved(segments: Sequence[Segment], base: str, cut: int = 0) -> tuple[Segment, ...]:
    """Return the segments under another base pointer."""
    return tuple(replace(segment, pointer=base + segment.pointer[cut:]) for segment in segments)
