"""One phase over whole segments: order, kinds, modes, budgets, failing closed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from spindle.plugins import run_phase
from spindle_spi.errors import ContractViolation, Internal, Origin, PluginDenied
from spindle_spi.plugin import HookPhase, PluginMode, Segment, SegmentKind
from tests.core.plugins.samples import (
    TEXT,
    Act,
    Counted,
    Inspecting,
    Word,
    briefly,
    call,
    fail,
    make_registry,
    names_of,
    refuse,
    shout,
    text_segment,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.plugins import PluginRegistry
    from spindle_spi.plugin import PluginInput

pytestmark = pytest.mark.anyio

RESULT = SegmentKind.TOOL_RESULT
IMAGE = Segment(pointer="/image", kind=SegmentKind.IMAGE)


async def run(
    registry: PluginRegistry, *segments: Segment, phase: HookPhase = HookPhase.PRE_INVOKE
) -> tuple[Segment, ...]:
    return await run_phase(registry, names_of(registry), call(phase), segments)


async def test_each_plugin_sees_what_the_one_before_wrote() -> None:
    """The first writes what the second looks for."""
    registry = make_registry(Word("a", "b"), Word("bb", "c"))
    assert await run(registry, text_segment("ab")) == (text_segment("c"),)


@briefly
@given(kinds=st.lists(st.sampled_from(SegmentKind), max_size=8))
async def test_a_plugin_gets_the_segments_of_its_kinds_and_order_is_kept(
    kinds: list[SegmentKind],
) -> None:
    """Others pass by, and the result has the order of what was given."""
    plugin = Inspecting(shout, kinds=frozenset({TEXT, RESULT}))
    segments = [Segment(pointer=f"/{i}", kind=kind, text="a") for i, kind in enumerate(kinds)]
    judged = await run(make_registry(plugin), *segments)
    handled = [segment for segment in segments if segment.kind in plugin.kinds]
    assert plugin.seen == ([tuple(handled)] if handled else [])
    assert judged == tuple(
        replace(segment, text="A") if segment in handled else segment for segment in segments
    )


async def test_an_untouched_segment_is_the_same_object() -> None:
    """Writing back may then leave the payload as it is."""
    segment = text_segment("x")
    assert (await run(make_registry(Word("a", "b")), segment))[0] is segment


async def test_a_kind_that_no_enforcing_plugin_handles_is_denied_where_that_is_the_rule() -> None:
    """The images would pass unjudged."""
    watcher = Inspecting(shout, kinds=frozenset({SegmentKind.IMAGE}))
    plugins = (Word("a", "b"), (watcher, PluginMode.PERMISSIVE))

    with pytest.raises(PluginDenied, match="image") as caught:
        await run(make_registry(*plugins, refuses_unhandled=True), text_segment("a"), IMAGE)

    assert caught.value.code == "plugin.unhandled"
    assert await run(make_registry(*plugins), IMAGE) == (IMAGE,)


async def test_a_phase_in_which_nothing_is_enforced_denies_nothing() -> None:
    """Trying a plugin out does not close the gateway."""
    registry = make_registry((Word("a", "b"), PluginMode.PERMISSIVE), refuses_unhandled=True)
    assert await run(registry, IMAGE) == (IMAGE,)


async def test_permissive_plugins_change_nothing_and_are_recorded() -> None:
    """A mask, a refusal and a failure: all of them are only counted."""
    counted = Counted()
    modes = [
        (plugin, PluginMode.PERMISSIVE)
        for plugin in (Word("a", "b"), Word("a", None), Inspecting(refuse), Inspecting(fail))
    ]
    segment = text_segment("a")
    assert await run(make_registry(*modes, meter=counted), segment) == (segment,)
    assert counted.findings == [
        ("p0", "word", "permissive", "replaced"),
        ("p1", "word", "permissive", "denied"),
        ("p2", "plugin.inspecting.no", "permissive", "denied"),
        ("p3", "plugin.failed", "permissive", "failed"),
    ]


async def test_each_finding_is_counted_and_each_rule_is_logged_once_without_the_text() -> None:
    """A text full of findings fills no log."""
    counted = Counted()

    with structlog.testing.capture_logs() as logs:
        await run(make_registry(Word("secret", "*"), meter=counted), text_segment("secret" * 50))

    assert len(counted.findings) == 50
    assert [(entry["event"], entry["plugin"], entry["rule"]) for entry in logs] == [
        ("plugin finding", "p0", "word")
    ]
    assert "secret" not in str(logs)


async def test_a_refusal_passes_as_the_plugin_said_it() -> None:
    """Code and message are the plugin's."""
    with pytest.raises(PluginDenied, match=r"No 1\.") as caught:
        await run(make_registry(Inspecting(refuse)), text_segment("a"))

    assert (caught.value.code, caught.value.origin) == ("plugin.inspecting.no", Origin.PLUGIN)


async def test_a_raising_plugin_fails_closed_and_no_text_gets_into_message_or_log() -> None:
    """The client learns the plugin's name, the operator where it failed."""
    with structlog.testing.capture_logs() as logs, pytest.raises(Internal) as caught:
        await run(make_registry(Inspecting(fail)), text_segment("secret"))

    error = caught.value
    assert (error.message, error.code) == ("The plugin inspecting failed.", "plugin.failed")
    assert error.origin is Origin.PLUGIN
    assert error.__cause__ is None
    assert logs[0]["error"] == "ValueError"
    assert "samples.py" in logs[0]["frames"]
    assert "secret" not in str(logs)


def drop(segments: Sequence[Segment]) -> Sequence[Segment]:
    return segments[1:]


def double(segments: Sequence[Segment]) -> Sequence[Segment]:
    return [*segments, *segments]


def swap(segments: Sequence[Segment]) -> Sequence[Segment]:
    return segments[::-1]


def retype(segments: Sequence[Segment]) -> Sequence[Segment]:
    return [replace(segment, kind=RESULT) for segment in segments]


@pytest.mark.parametrize("act", [drop, double, swap, retype])
async def test_another_number_order_or_kind_of_segments_is_refused(
    act: Act,
) -> None:
    """What comes back must correspond to what was given."""
    with pytest.raises(ContractViolation, match="inspecting") as caught:
        await run(make_registry(Inspecting(act)), text_segment("a", "/0"), text_segment("b", "/1"))

    assert caught.value.origin is Origin.PLUGIN


async def test_something_else_than_segments_is_refused() -> None:
    """What untyped code returns fails closed."""

    class Careless(Inspecting):
        async def inspect(self, call: PluginInput, segments: object) -> tuple[str, ...]:  # type: ignore[override]
            return ("a",)

    with pytest.raises(ContractViolation):
        await run(make_registry(Careless(shout)), text_segment("a"))


async def test_a_plugin_that_does_not_decide_in_time_fails_closed() -> None:
    """The budget binds a plugin that awaits."""

    class Waiting(Inspecting):
        async def inspect(
            self, call: PluginInput, segments: Sequence[Segment]
        ) -> tuple[Segment, ...]:
            await anyio.sleep_forever()
            return tuple(segments)

    registry = make_registry(Waiting(shout), budget_seconds=0.01)

    with anyio.fail_after(5), pytest.raises(Internal, match="inspecting") as caught:
        await run(registry, text_segment("a"))

    assert caught.value.code == "plugin.timed_out"


async def test_a_verdict_that_comes_after_the_budget_does_not_count() -> None:
    """A plugin that swallows the cancellation gains nothing."""

    class Stubborn(Inspecting):
        async def inspect(
            self, call: PluginInput, segments: Sequence[Segment]
        ) -> tuple[Segment, ...]:
            try:
                await anyio.sleep_forever()
            finally:
                return tuple(segments)  # noqa: B012

    registry = make_registry(Stubborn(shout), budget_seconds=0.01)

    with anyio.fail_after(5), pytest.raises(Internal) as caught:
        await run(registry, text_segment("a"))

    assert caught.value.code == "plugin.timed_out"


async def test_a_request_may_be_longer_than_what_is_held_of_an_answer() -> None:
    """Requests have the route's own limit."""
    registry = make_registry(Inspecting(shout), held_limit=3)
    assert await run(registry, text_segment("aaaa")) == (text_segment("AAAA"),)

    with pytest.raises(PluginDenied):
        await run(registry, text_segment("aaaa"), phase=HookPhase.POST_INVOKE)


async def test_a_plan_that_names_an_unknown_plugin_fails_closed() -> None:
    """What that plugin should have judged must not pass."""
    with pytest.raises(ContractViolation):
        await run_phase(make_registry(), ("gone",), call(), [text_segment("a")])
