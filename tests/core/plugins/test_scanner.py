"""The engine: whatever the chunks, a text is judged like the whole of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.plugins.active import ActivePlugin
from spindle.plugins.scanner import Scanner
from spindle.plugins.tally import Tally
from spindle_spi.errors import ContractViolation, Internal, Origin, PluginDenied
from spindle_spi.plugin import Finding, HookPhase, Plugin, apply_findings
from tests.core.plugins.samples import (
    Inspecting,
    Windowed,
    Word,
    bounded,
    call,
    cut,
    every_cut,
    places,
    shout,
    text_segment,
    windowed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def make_scanner(plugin: Plugin) -> Scanner:
    active = ActivePlugin(name="p", plugin=plugin, phases=frozenset(HookPhase))
    return Scanner(active, Tally(call(), None))


def judge_whole(plugin: Plugin, text: str) -> tuple[str, str | None]:
    """Say what may go out under the SPI's simple form, and the code of the refusal."""
    try:
        return apply_findings(plugin, text_segment(text)).text, None
    except PluginDenied as denied:
        released, position = "", 0

        for finding in plugin.scan(text, 0):
            released += text[position : finding.start]

            if finding.replacement is None:
                return released, denied.code

            released += finding.replacement
            position = finding.end

        raise


def judge_cut(plugin: Plugin, chunks: Sequence[str]) -> tuple[str, str | None]:
    scanner = make_scanner(plugin)
    released = ""

    try:
        for chunk in chunks:
            released += scanner.push(chunk)

        return released + scanner.close(), None
    except PluginDenied as denied:
        return released, denied.code


def assert_agrees(plugin: Plugin, chunks: Sequence[str]) -> None:
    expected, expected_code = judge_whole(plugin, "".join(chunks))
    released, code = judge_cut(plugin, chunks)
    assert code == expected_code

    if code is None:
        assert released == expected
    else:
        # Of a refused text, at most what stands before the refused place has gone out.
        assert expected.startswith(released)


@bounded
@given(plugin=windowed, text=st.text("abc", max_size=8))
def test_every_way_to_cut_a_short_text_gives_what_the_whole_gives(
    plugin: Windowed, text: str
) -> None:
    """Every chunking of a short text, exhaustively."""
    for chunks in every_cut(text):
        assert_agrees(plugin, chunks)


@bounded
@given(plugin=windowed, text=st.text("ab", max_size=400), places=places)
def test_a_cut_long_text_gives_what_the_whole_gives(
    plugin: Windowed, text: str, places: list[int]
) -> None:
    """Random chunkings of longer texts, with every kind of window."""
    assert_agrees(plugin, cut(text, places))
    assert_agrees(plugin, list(text))


@bounded
@given(text=st.text("ab ", max_size=300), places=places)
def test_what_is_held_back_is_bounded_by_the_span(text: str, places: list[int]) -> None:
    """With no finding in it, at most span and an eighth of it are held."""
    scanner = make_scanner(Word("-" * 16, "x"))
    pushed = released = 0

    for chunk in cut(text, places):
        released += len(scanner.push(chunk))
        pushed += len(chunk)
        assert pushed - released < 16 + 2

    assert released + len(scanner.close()) == len(text)


def test_one_character_chunks_cost_linear_time_and_bounded_memory() -> None:
    """Each character is looked at a bounded number of times, and only the window is kept."""
    plugin = Word("x" * 200, "y")
    scanner = make_scanner(plugin)
    length = 20_000

    for _ in range(length):
        scanner.push("a")

    scanner.close()
    assert plugin.looked_at < 12 * length
    assert plugin.longest <= 200 + 25 + 1


class Lying(Plugin):
    name = "lying"
    span = 2

    def __init__(self, *findings: Finding) -> None:
        self._findings = findings

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        return self._findings


def _found(start: int, end: int) -> Finding:
    return Finding(start=start, end=end, rule="r", replacement="")


@pytest.mark.parametrize(
    "findings",
    [
        (_found(-1, 1),),
        (_found(1, 1),),
        (_found(2, 1),),
        (_found(0, 3),),
        (_found(3, 5),),
        (_found(0, 2), _found(1, 3)),
        (_found(2, 3), _found(0, 1)),
    ],
)
def test_a_finding_outside_its_bounds_is_refused(findings: tuple[Finding, ...]) -> None:
    """Empty, reversed, longer than the span, overlapping, unordered or beyond the text."""
    text = "abcd" if len(findings) > 1 else "abc"

    with pytest.raises(ContractViolation, match="lying") as caught:
        judge_cut(Lying(*findings), [text])

    assert caught.value.origin is Origin.PLUGIN


class Careless(Plugin):
    name = "careless"
    span = 2

    def scan(self, text: str, start: int) -> list[str]:  # type: ignore[override]
        return ["no finding"]


class Mistyped(Plugin):
    name = "mistyped"
    span = 2

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        return [Finding(start=0, end=1, rule="r", replacement=7)]  # type: ignore[arg-type]


@pytest.mark.parametrize("plugin", [Careless(), Mistyped()])
def test_something_else_than_findings_is_refused(plugin: Plugin) -> None:
    """What untyped code returns instead of findings fails closed."""
    with pytest.raises(ContractViolation):
        judge_cut(plugin, ["abcd"])


def test_a_scan_that_raises_fails_closed_and_its_message_stays_inside() -> None:
    """The failure names the plugin only; even a denial out of `scan` is a failure."""

    class Raising(Word):
        def scan(self, text: str, start: int) -> Sequence[Finding]:
            raise PluginDenied(f"saw {text}")

    with pytest.raises(Internal) as caught:
        judge_cut(Raising("ab", None), ["secret text"])

    assert caught.value.origin is Origin.PLUGIN
    assert caught.value.code == "plugin.failed"
    assert caught.value.message == "The plugin word failed."


def test_a_plugin_without_a_span_is_no_scanning_plugin() -> None:
    """The engine needs the span."""
    with pytest.raises(ValueError, match="no span"):
        make_scanner(Inspecting(shout))
