"""What the author of a plugin writes; never run, only type-checked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spindle_spi import Plugin
from spindle_spi.errors import PluginDenied
from spindle_spi.plugin import Finding, HookPhase, PluginInput, Segment, SegmentKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_spi.types import Json, JsonObject


class Scanning(Plugin):
    """One that scans: streams flow past it with a hold-back of its span."""

    name = "acme-words"
    kinds = frozenset({SegmentKind.TEXT, SegmentKind.TOOL_RESULT})
    span = 12
    config_schema: Mapping[str, Json] = {"type": "object", "required": ["words"]}

    def __init__(self, config: JsonObject | None = None) -> None:
        super().__init__(config)
        words = self.config["words"]
        self._words = [str(word) for word in words] if isinstance(words, list) else []

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        places = ((text.find(word, start), word) for word in self._words)
        return [
            Finding(start=place, end=place + len(word), rule="word", replacement="…")
            for place, word in sorted(places)
            if place >= 0
        ]


class Inspecting(Plugin):
    """One that needs the whole: answers are held to their end."""

    name = "acme-judge"
    phases = frozenset({HookPhase.PRE_INVOKE})

    async def inspect(self, call: PluginInput, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        if call.context.subject.user_email is None:
            raise PluginDenied("Not for service tokens.", code="plugin.acme-judge.service")

        return tuple(replace(segment, text=segment.text.strip()) for segment in segments)


PLUGINS: list[type[Plugin]] = [Scanning, Inspecting]
