"""The built-in plugin `limits`: how big and how deep a request may be. Looks at requests alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_spi.plugin import HookPhase, Plugin, SegmentKind, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_spi.plugin import PluginInput, Segment
    from spindle_spi.types import Json

_BYTES_PER_TOKEN = 4
"""What tokenizers make of English text; of others they make more tokens, by bytes too."""

_BOUND: dict[str, Json] = {"type": "integer", "minimum": 1}


class Limits(Plugin):
    """Refuses requests beyond its bounds; what is not bounded in the settings is not looked at."""

    name = "limits"
    kinds = frozenset(SegmentKind) - {SegmentKind.DOCUMENT}
    phases = frozenset({HookPhase.PRE_INVOKE, HookPhase.PRE_FETCH})
    config_schema: Mapping[str, Json] = {
        "type": "object",
        "properties": {
            "max_characters": _BOUND,
            "max_segment_characters": _BOUND,
            "max_segments": _BOUND,
            "max_images": {"type": "integer", "minimum": 0},
            "max_audio": {"type": "integer", "minimum": 0},
            "max_depth": _BOUND,
            "max_tokens": _BOUND,
        },
        "minProperties": 1,
        "additionalProperties": False,
    }

    async def inspect(self, call: PluginInput, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Let segments within the bounds pass as they are.

        Raises:
            PluginDenied: One is exceeded; the rule's name is the bound's.
        """
        del call

        for rule, amount in _amounts(segments).items():
            bound = self.config.get(rule)

            if isinstance(bound, int) and amount > bound:
                raise refusal(self.name, rule)

        return tuple(segments)


def _amounts(segments: Sequence[Segment]) -> dict[str, int]:
    lengths = [len(segment.text) for segment in segments]
    kinds = [segment.kind for segment in segments]
    size = sum(len(segment.text.encode("utf-8", "replace")) for segment in segments)
    return {
        "max_characters": sum(lengths),
        "max_segment_characters": max(lengths, default=0),
        "max_segments": len(segments),
        "max_images": kinds.count(SegmentKind.IMAGE),
        "max_audio": kinds.count(SegmentKind.AUDIO),
        "max_depth": max(map(_depth, segments), default=0),
        "max_tokens": -(-size // _BYTES_PER_TOKEN),
    }


def _depth(segment: Segment) -> int:
    """Return how deep in a tool's arguments a value stands; the arguments themselves are 1."""
    if segment.kind is not SegmentKind.TOOL_ARGUMENTS:
        return 0

    _, inside, inner = segment.pointer.rpartition("#")
    return (inner if inside else segment.pointer).count("/")
