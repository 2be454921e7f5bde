"""How big a request may be: each bound at its edge, and only the bounds that are set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle.plugins import run_phase
from spindle.plugins.builtin.limits import Limits
from spindle_spi.errors import PluginDenied
from spindle_spi.payloads import lift_arguments, lift_chat_request
from spindle_spi.plugin import HookPhase, Segment, SegmentKind
from tests.core.plugins.samples import call, make_registry, names_of

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio


async def judge(config: JsonObject, *segments: Segment) -> str | None:
    registry = make_registry(Limits(config))

    try:
        judged = await run_phase(
            registry, names_of(registry), call(HookPhase.PRE_INVOKE), list(segments)
        )
    except PluginDenied as refused:
        return refused.code

    assert judged == segments
    return None


def chat(*texts: str) -> tuple[Segment, ...]:
    messages: list[Json] = [{"role": "user", "content": text} for text in texts]
    return lift_chat_request({"messages": messages})


@pytest.mark.parametrize(
    ("bound", "fits", "exceeds"),
    [
        ("max_characters", chat("ab", "c"), chat("ab", "cd")),
        ("max_segment_characters", chat("abc", "abc"), chat("abcd")),
        ("max_segments", chat("a", "b", "c"), chat("a", "b", "c", "d")),
        ("max_depth", lift_arguments({"a": {"b": ["x"]}}), lift_arguments({"a": {"b": [["x"]]}})),
        ("max_tokens", chat("éé" * 3), chat("éé" * 3 + "x")),
    ],
)
async def test_a_bound_holds_at_its_edge(
    bound: str, fits: tuple[Segment, ...], exceeds: tuple[Segment, ...]
) -> None:
    assert await judge({bound: 3}, *fits) is None
    assert await judge({bound: 3}, *exceeds) == f"plugin.limits.{bound}"


@pytest.mark.parametrize(
    ("bound", "kind"), [("max_images", SegmentKind.IMAGE), ("max_audio", SegmentKind.AUDIO)]
)
async def test_pictures_and_sounds_are_counted(bound: str, kind: SegmentKind) -> None:
    part = Segment(pointer="/messages/0/content/0", kind=kind)
    assert await judge({bound: 1}, part) is None
    assert await judge({bound: 1}, part, part) == f"plugin.limits.{bound}"
    assert await judge({bound: 0}, part) == f"plugin.limits.{bound}"


async def test_what_has_no_bound_is_not_looked_at() -> None:
    assert await judge({"max_images": 0}, *chat("a" * 1000)) is None
    assert await judge({"max_depth": 1}) is None


async def test_arguments_inside_a_message_count_from_their_own_beginning() -> None:
    inside = Segment(
        pointer="/messages/0/tool_calls/0/function/arguments#/a/b",
        kind=SegmentKind.TOOL_ARGUMENTS,
        text="x",
    )
    assert await judge({"max_depth": 2}, inside) is None
    assert await judge({"max_depth": 1}, inside) == "plugin.limits.max_depth"
