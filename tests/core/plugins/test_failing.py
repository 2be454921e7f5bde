"""A plugin that fails: its own time budget, and what `on_error` makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.plugins import PluginRegistry, run_phase
from spindle.plugins.active import ActivePlugin, unusable
from spindle_spi.errors import ConfigError, Internal, PluginDenied
from spindle_spi.plugin import HookPhase, Plugin, PluginInput, PluginMode, Segment
from tests.core.plugins.samples import (
    LANE,
    Counted,
    Entry,
    Inspecting,
    Section,
    Word,
    bounded,
    call,
    cut,
    fail,
    names_of,
    open_guard,
    places,
    refuse,
    stream,
    text_segment,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.plugin import Finding

pytestmark = pytest.mark.anyio


class Waiting(Plugin):
    """Waits for ever, or for a service that gives up by itself."""

    name = "waiting"

    def __init__(self, *, own_seconds: float | None = None) -> None:
        self._own_seconds = own_seconds

    async def inspect(self, call: PluginInput, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        with anyio.fail_after(self._own_seconds):
            await anyio.sleep_forever()

        raise AssertionError


class Fragile(Word):
    """Raises when it sees an x."""

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        if "x" in text[start:]:
            raise ValueError(text)

        return super().scan(text, start)


@dataclass
class Judge:
    """A registry of one plugin, asked in both forms."""

    registry: PluginRegistry

    async def unary(self, *texts: str, phase: HookPhase = HookPhase.POST_INVOKE) -> list[str]:
        segments = [text_segment(text) for text in texts]
        names = names_of(self.registry)
        return [s.text for s in await run_phase(self.registry, names, call(phase), segments)]

    async def streamed(self, chunks: Sequence[str]) -> str:
        result = await stream(open_guard(self.registry), chunks)
        assert result.denied is None
        return result.released


def judge(
    plugin: Plugin,
    *,
    budget: float | None = None,
    opens: bool = False,
    mode: PluginMode = PluginMode.ENFORCE,
    meter: Counted | None = None,
) -> Judge:
    active = ActivePlugin(
        name="p", plugin=plugin, phases=plugin.phases, budget_seconds=budget, fails_open=opens,
        mode=mode,
    )  # fmt: skip
    return Judge(PluginRegistry([active], meter=meter, budget_seconds=30))


async def test_an_entry_has_a_time_budget_of_its_own() -> None:
    """Shorter than everybody's; nothing passes when it runs out."""
    with anyio.fail_after(5), pytest.raises(Internal) as caught:
        await judge(Waiting(), budget=0.01).unary("a")

    assert caught.value.code == "plugin.timed_out"
    assert "0.01 seconds" in caught.value.message


async def test_a_plugin_that_gives_up_waiting_by_itself_timed_out_as_well() -> None:
    """A service behind it did not answer."""
    with pytest.raises(Internal) as caught:
        await judge(Waiting(own_seconds=0.01)).unary("a")

    assert caught.value.code == "plugin.timed_out"


def test_a_plugin_that_decides_at_once_has_no_budget() -> None:
    """It could not be kept: nothing interrupts code that does not wait."""
    with pytest.raises(ConfigError) as caught:
        PluginRegistry.load(Section(entries=(Entry(budget_seconds=1.0),)))

    assert caught.value.faults == (
        "plugins.entries[0].budget_seconds: the plugin 'pii' decides at once; "
        "only one that waits has a time",
    )


def test_failing_open_must_be_allowed() -> None:
    """In production it is not, unless the operator says so."""
    section = Section(entries=(Entry(on_error="allow"),), allow_fail_open=False)

    with pytest.raises(ConfigError) as caught:
        PluginRegistry.load(section)

    assert "plugins.entries[0].on_error: content that was not judged" in caught.value.faults[0]
    assert PluginRegistry.load(replace(section, allow_fail_open=True)).active[0].fails_open

    with pytest.raises(ConfigError) as caught:
        PluginRegistry.load(Section(entries=(Entry(on_error="shrug"),)))

    assert caught.value.faults == ("plugins.entries[0].on_error: expected one of deny, allow",)


@pytest.mark.parametrize("plugin", [Inspecting(fail), Waiting(), Inspecting(lambda _: ())])
async def test_what_fails_open_lets_content_pass_as_it_came(plugin: Plugin) -> None:
    """Raising, hanging and nonsense alike; counted as failures."""
    counted = Counted()
    open_judge = judge(plugin, budget=0.01, opens=True, meter=counted)
    assert await open_judge.unary("ab") == ["ab"]
    assert await open_judge.streamed(["a", "b"]) == "ab"
    assert counted.counts["failures", "p"] == 2
    assert counted.counts["denials", "p"] == 0

    with pytest.raises(Internal):
        await judge(plugin, budget=0.01).unary("ab")


async def test_a_refusal_is_no_failure() -> None:
    """What fails open still refuses, and what is too long to hold is refused too."""
    counted = Counted()

    with pytest.raises(PluginDenied):
        await judge(Inspecting(refuse), opens=True, meter=counted).unary("a")

    assert counted.counts["denials", "p"] == 1
    assert counted.counts["failures", "p"] == 0


@bounded
@given(text=st.text("ab ", max_size=60), at=places, rest=st.text("abx", max_size=20))
async def test_what_was_judged_before_a_failure_stays_judged(
    text: str, at: list[int], rest: str
) -> None:
    """A stream that fails open loses nothing and releases nothing twice."""
    chunks = [*cut(text, at), *cut(f"x{rest}", at)]
    released = await judge(Fragile("ab", "*"), opens=True).streamed(chunks)
    whole = f"{text}x{rest}"
    assert released.endswith(rest[-1:])
    assert [whole[: len(whole) - n].replace("ab", "*") + whole[len(whole) - n :]
            for n in range(len(whole) + 1)].count(released) >= 1  # fmt: skip


@bounded
@given(text=st.text("ab ", max_size=60), at=places)
async def test_unary_and_stream_agree_where_nothing_fails(text: str, at: list[int]) -> None:
    """Whether it would fail open makes no difference."""
    for opens in (False, True):
        both = judge(Fragile("ab", "*"), opens=opens)
        assert await both.streamed(cut(text, at)) == "".join(await both.unary(text))


async def test_a_text_that_fails_does_not_undo_the_others() -> None:
    """Each text is judged by itself."""
    assert await judge(Fragile("ab", "*"), opens=True).unary("ab", "abx", "cab") == [
        "*",
        "abx",
        "c*",
    ]


@pytest.mark.parametrize("mode", [PluginMode.ENFORCE, PluginMode.PERMISSIVE])
async def test_an_entry_that_cannot_be_built_denies_in_its_place(mode: PluginMode) -> None:
    """Even a call without content; a permissive one is recorded and passed."""
    counted = Counted()
    broken = PluginRegistry([unusable("gone", mode=mode)], meter=counted)

    if mode is PluginMode.PERMISSIVE:
        assert await Judge(broken).unary("a") == ["a"]
        assert await Judge(broken).streamed(["a"]) == "a"
    else:
        for attempt in (Judge(broken).unary(), Judge(broken).unary("a")):
            with pytest.raises(Internal) as caught:
                await attempt

            assert caught.value.code == "plugin.unusable"

        with pytest.raises(Internal):
            open_guard(broken)

    assert counted.counts["failures", "gone"] >= 2


async def test_what_a_plugin_does_is_counted() -> None:
    """Calls by phase, seconds, refusals, and streams that wait for their end."""
    counted = Counted()
    word = judge(Word("no", None), meter=counted)
    await word.unary("yes")
    await word.streamed(["y", "es"])

    with pytest.raises(PluginDenied):
        await word.unary("no")

    guard = open_guard(word.registry)

    with pytest.raises(PluginDenied):
        await guard.push(LANE, "no no")

    assert (counted.counts["calls", "p"], counted.counts["denials", "p"]) == (4, 2)
    assert len(counted.seconds) == 4
    assert all(seconds >= 0 for _, seconds in counted.seconds)
    held = judge(Inspecting(list), meter=counted)
    await held.streamed(["a"])
    assert counted.counts["held_streams", "p"] == 1
