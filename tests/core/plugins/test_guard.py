"""The stream guard: what it releases equals unary, and what is denied has never been released."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.plugins import run_phase
from spindle_spi.errors import ContractViolation, GatewayError, Internal, PluginDenied
from spindle_spi.plugin import Lane, PluginMode, Segment, SegmentKind
from tests.core.plugins.samples import (
    LANE,
    TEXT,
    Counted,
    Inspecting,
    Streamed,
    Windowed,
    Word,
    bounded,
    briefly,
    call,
    cut,
    every_cut,
    fail,
    make_registry,
    names_of,
    open_guard,
    places,
    refuse,
    shout,
    stream,
    text_segment,
    windowed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.plugins import PluginRegistry

pytestmark = pytest.mark.anyio

OTHER = Lane(choice=1, channel="reasoning")


async def judge_unary(registry: PluginRegistry, text: str) -> str | None:
    """Return the whole text as unary shows it; None when it is denied."""
    try:
        judged = await run_phase(registry, names_of(registry), call(), [text_segment(text)])
    except PluginDenied:
        return None

    return judged[0].text


async def assert_like_unary(registry: PluginRegistry, chunks: Sequence[str]) -> Streamed:
    text = "".join(chunks)
    expected = await judge_unary(registry, text) if text else ""
    streamed = await stream(open_guard(registry), chunks)
    assert (streamed.denied is not None) == (expected is None)

    if expected is not None:
        assert streamed.released == expected

    return streamed


@briefly
@given(plugins=st.lists(windowed, min_size=1, max_size=3), text=st.text("ab", max_size=6))
async def test_a_chain_gives_what_unary_gives_for_every_cut(
    plugins: list[Windowed], text: str
) -> None:
    """Several plugins, each fed with what the one before released."""
    registry = make_registry(*plugins)

    for chunks in every_cut(text):
        await assert_like_unary(registry, chunks)


@briefly
@given(
    plugins=st.lists(windowed, min_size=2, max_size=3), text=st.text("ab", max_size=300), at=places
)
async def test_a_chain_gives_what_unary_gives_for_long_texts(
    plugins: list[Windowed], text: str, at: list[int]
) -> None:
    """Random cuts, and one character at a time."""
    registry = make_registry(*plugins)
    await assert_like_unary(registry, cut(text, at))
    await assert_like_unary(registry, list(text))


@bounded
@given(text=st.text("ab ", max_size=60), at=places)
async def test_an_unbounded_plugin_in_the_chain_gives_what_unary_gives(
    text: str, at: list[int]
) -> None:
    """A plugin without a span holds the lane; those before and after it still scan."""
    registry = make_registry(Word("ab", "cd"), Inspecting(shout), Word("CD", "!", span=5))
    await assert_like_unary(registry, cut(text, at))


@bounded
@given(before=st.text("ab ", max_size=80), after=st.text("ab ", max_size=80), at=places)
async def test_nothing_at_or_after_a_refused_place_is_released(
    before: str, after: str, at: list[int]
) -> None:
    """A later mask in the chain sees, and releases, only what stands before the refused place."""
    registry = make_registry(Word("NO!", None, span=7), Word("ab", "*"))
    streamed = await stream(open_guard(registry), cut(f"{before}NO!{after}", at))
    assert streamed.denied == "plugin.word.word"
    assert before.replace("ab", "*").startswith(streamed.released)


@bounded
@given(at=places, order=st.lists(st.booleans(), max_size=60))
async def test_interleaved_lanes_do_not_touch_each_other(at: list[int], order: list[bool]) -> None:
    """A word of one lane is no word because another lane completes it."""
    registry = make_registry(Word("abc", "*", span=9))
    guard = open_guard(registry)
    texts = {LANE: "xxabcxxabxcab", OTHER: "abcabaabcc"}
    left = {lane: cut(text, at) for lane, text in texts.items()}
    released = dict.fromkeys(texts, "")

    for is_first in [*order, *[True] * 60, *[False] * 60]:
        lane = LANE if is_first else OTHER

        if left[lane]:
            released[lane] += await guard.push(lane, left[lane].pop(0))

    for lane, text in texts.items():
        released[lane] += await guard.close(lane)
        assert released[lane] == text.replace("abc", "*")

    await guard.finish()


async def test_a_denial_in_one_lane_ends_every_lane() -> None:
    """After a denial nothing is released and no receipt is left, whatever is asked."""
    finished: list[str] = []
    guard = open_guard(make_registry(Word("no", None)), lambda: finished.append("once"))
    await guard.push(OTHER, "fine")

    with pytest.raises(PluginDenied):
        await guard.push(LANE, "no more")

    for attempt in (
        guard.push(OTHER, "x"),
        guard.close(OTHER),
        guard.judge([text_segment("fine")]),
        guard.finish(),
    ):
        with pytest.raises(PluginDenied):
            await attempt

    assert finished == []


@bounded
@given(
    plugins=st.lists(windowed, min_size=1, max_size=2), text=st.text("ab", max_size=80), at=places
)
async def test_permissive_plugins_change_nothing_and_hold_nothing(
    plugins: list[Windowed], text: str, at: list[int]
) -> None:
    """Each chunk goes out as it came in, denials included."""
    registry = make_registry(*((plugin, PluginMode.PERMISSIVE) for plugin in plugins))
    guard = open_guard(registry)

    for chunk in cut(text, at):
        assert await guard.push(LANE, chunk) == chunk

    assert await guard.close(LANE) == ""


async def test_permissive_findings_are_recorded_as_in_unary() -> None:
    """The record says what enforcing would have done; a failing plugin is recorded too."""
    plugins = [
        (Word("ab", "*"), PluginMode.PERMISSIVE),
        (Inspecting(refuse), PluginMode.PERMISSIVE),
        (Inspecting(fail), PluginMode.PERMISSIVE),
        (Inspecting(shout), PluginMode.PERMISSIVE),
        (Word("b", None), PluginMode.PERMISSIVE),
    ]
    expected = [
        ("p0", "word", "permissive", "replaced"),
        ("p0", "word", "permissive", "replaced"),
        ("p1", "plugin.inspecting.no", "permissive", "denied"),
        ("p2", "plugin.failed", "permissive", "failed"),
        ("p3", "inspect", "permissive", "replaced"),
        ("p4", "word", "permissive", "denied"),
        ("p4", "word", "permissive", "denied"),
    ]
    unary, streamed = Counted(), Counted()
    assert await judge_unary(make_registry(*plugins, meter=unary), "abxab") == "abxab"
    guard = open_guard(make_registry(*plugins, meter=streamed))
    assert (await stream(guard, list("abxab"))).released == "abxab"
    assert sorted(unary.findings) == sorted(streamed.findings) == expected


async def test_a_permissive_plugin_that_failed_is_left_out_of_the_rest_of_the_lane() -> None:
    """One failure, recorded once; the text keeps flowing."""

    class Raising(Word):
        def scan(self, text: str, start: int) -> list[object]:  # type: ignore[override]
            raise RuntimeError(text[start:])

    counted = Counted()
    plugin = (Raising("ab", "*"), PluginMode.PERMISSIVE)
    guard = open_guard(make_registry(plugin, meter=counted))
    assert (await stream(guard, list("abcabc"))).released == "abcabc"
    assert counted.findings == [("p0", "plugin.failed", "permissive", "failed")]


async def test_tool_arguments_are_judged_whole_by_the_same_plugins() -> None:
    """`judge` is the phase itself: replaced, in order, kinds that nobody handles untouched."""
    guard = open_guard(make_registry(Word("ab", "*")))
    pieces = (
        text_segment("xab"),
        Segment(pointer="/a", kind=SegmentKind.TOOL_ARGUMENTS, text="ab"),
    )
    assert await guard.judge(pieces) == (text_segment("x*"), pieces[1])


async def test_an_answer_held_too_long_is_denied_in_both_forms() -> None:
    """The bound counts every text of the answer that one plugin holds."""
    registry = make_registry(Inspecting(shout), held_limit=10)
    assert (await stream(open_guard(registry), ["a" * 10])).released == "A" * 10
    guard = open_guard(registry)
    await guard.push(LANE, "a" * 6)

    with pytest.raises(PluginDenied) as caught:
        await guard.push(OTHER, "b" * 5)

    assert caught.value.code == "plugin.held_too_long"
    assert await judge_unary(registry, "a" * 10) == "A" * 10
    assert await judge_unary(registry, "a" * 11) is None


async def test_lanes_without_end_are_denied() -> None:
    """An upstream that numbers its choices without end fills no memory."""
    guard = open_guard(make_registry(Word("ab", "*")))

    async def push_without_end() -> None:
        for choice in range(2000):
            await guard.push(Lane(choice=choice), "a")

    with pytest.raises(PluginDenied) as caught:
        await push_without_end()

    assert caught.value.code == "plugin.too_many_lanes"


async def test_text_that_no_plugin_handles_is_denied_where_that_is_the_rule() -> None:
    """An empty lane is no text; the first character is."""
    handler = Inspecting(shout, kinds=frozenset({SegmentKind.IMAGE}))
    guard = open_guard(make_registry(handler, refuses_unhandled=True))
    assert await guard.push(LANE, "") == ""

    with pytest.raises(PluginDenied) as caught:
        await guard.push(LANE, "a")

    assert caught.value.code == "plugin.unhandled"


async def test_the_receipt_is_left_once_when_every_lane_is_closed() -> None:
    """A second finish does nothing; what comes after it is a defect."""
    finished: list[str] = []
    guard = open_guard(make_registry(Word("ab", "*")), lambda: finished.append("once"))
    await guard.push(LANE, "a")
    assert await guard.close(LANE) == "a"
    assert await guard.close(OTHER) == ""
    await guard.finish()
    await guard.finish()
    assert finished == ["once"]

    with pytest.raises(ContractViolation):
        await guard.push(OTHER, "late")


async def test_finishing_with_an_open_lane_is_a_defect() -> None:
    """Text would be lost; no receipt is left."""
    finished: list[str] = []
    guard = open_guard(make_registry(Word("ab", "*")), lambda: finished.append("once"))
    await guard.push(LANE, "a")

    with pytest.raises(ContractViolation):
        await guard.finish()

    assert finished == []


async def test_pushing_into_a_closed_lane_is_a_defect() -> None:
    """A lane has one end; closing it again gives nothing."""
    guard = open_guard(make_registry(Word("ab", "*")))
    await guard.push(LANE, "a")
    await guard.close(LANE)
    assert await guard.close(LANE) == ""

    with pytest.raises(ContractViolation):
        await guard.push(LANE, "b")


async def test_an_interrupted_verdict_fails_closed() -> None:
    """Text whose judging was cancelled is neither released nor receipted."""
    finished: list[str] = []

    class Waiting(Inspecting):
        async def inspect(self, call: object, segments: object) -> tuple[Segment, ...]:
            entered.set()
            await anyio.sleep_forever()
            return ()

    entered = anyio.Event()
    guard = open_guard(make_registry(Waiting(shout)), lambda: finished.append("once"))
    await guard.push(LANE, "a")

    async with anyio.create_task_group() as group:
        group.start_soon(guard.close, LANE)
        await entered.wait()
        group.cancel_scope.cancel()

    with pytest.raises(ContractViolation):
        await guard.finish()

    assert finished == []


async def test_a_lane_that_waits_is_not_released_when_another_fails_meanwhile() -> None:
    """The verdict over one lane ends the whole answer."""
    entered, leave = anyio.Event(), anyio.Event()
    outcomes: list[str] = []

    class Slow(Inspecting):
        async def inspect(self, call: object, segments: Sequence[Segment]) -> tuple[Segment, ...]:
            entered.set()
            await leave.wait()
            return tuple(segments)

    guard = open_guard(make_registry(Slow(shout), held_limit=4))

    async def close() -> None:
        try:
            outcomes.append(await guard.close(LANE))
        except GatewayError as error:
            outcomes.append(error.code)

    with anyio.fail_after(5):
        await guard.push(LANE, "abc")

        async with anyio.create_task_group() as group:
            group.start_soon(close)
            await entered.wait()

            with pytest.raises(PluginDenied):
                await guard.push(OTHER, "abc")

            leave.set()

    assert outcomes == ["plugin.held_too_long"]


async def test_a_failing_plugin_ends_the_stream() -> None:
    """What could not be judged is not released, and the answer says no more than the name."""
    guard = open_guard(make_registry(Inspecting(fail)))
    await guard.push(LANE, "secret")

    with pytest.raises(Internal) as caught:
        await guard.close(LANE)

    assert caught.value.message == "The plugin inspecting failed."

    with pytest.raises(Internal):
        await guard.push(OTHER, "more")


async def test_a_lane_is_shown_to_an_inspecting_plugin_as_a_segment_of_the_answer() -> None:
    """The pointer is the one the unary answer has; a lane without text is not shown."""
    plugin = Inspecting(shout)
    guard = open_guard(make_registry(plugin))
    await guard.push(OTHER, "")
    await guard.close(OTHER)
    assert (await stream(guard, ["a", "b"])).released == "AB"
    pointer = "/choices/0/message/content"
    expected = Segment(pointer=pointer, kind=TEXT, role="assistant", text="ab")
    assert plugin.seen == [(expected,)]
