"""The plugin base class, and how findings are applied to a whole text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_spi.errors import ContractViolation, Origin, PluginDenied
from spindle_spi.plugin import (
    REQUEST_PHASES,
    Finding,
    HookPhase,
    HookPlan,
    Plugin,
    PluginHost,
    PluginInput,
    Segment,
    SegmentKind,
    apply_findings,
    phases_of,
)
from spindle_spi.records import Kind
from spindle_spi.secret import Secret
from spindle_spi.types import JsonObject
from tests.spi.derived import bounded, sample_of

if TYPE_CHECKING:
    from collections.abc import Sequence

CALL: PluginInput = sample_of(PluginInput)


class Replacing(Plugin):
    """Replaces every match of a pattern; None refuses."""

    name = "replacing"

    def __init__(self, pattern: str, replacement: str | None = "*") -> None:
        super().__init__()
        self._pattern = re.compile(pattern)
        self._replacement = replacement

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        return [
            Finding(start=match.start(), end=match.end(), rule="r", replacement=self._replacement)
            for match in self._pattern.finditer(text, start)
        ]


class Fixed(Plugin):
    """Finds what it was told, right or wrong."""

    name = "fixed"

    def __init__(self, *places: tuple[int, int]) -> None:
        super().__init__({"places": len(places)})
        self._findings = [
            Finding(start=start, end=end, rule="r", replacement="*") for start, end in places
        ]

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        return self._findings


def text(content: str) -> Segment:
    return Segment(pointer="/a", kind=SegmentKind.TEXT, role="user", text=content)


@given(content=st.text(alphabet="abc\n", max_size=20), pattern=st.sampled_from(["a", "b+", "ca?"]))
@bounded
def test_findings_are_replaced_as_a_substitution_does(content: str, pattern: str) -> None:
    """Everything else of the segment stays."""
    changed = apply_findings(Replacing(pattern), text(content))
    assert changed == text(re.sub(pattern, "*", content))


def test_a_segment_without_findings_is_the_same_object() -> None:
    """So that nothing is written back for it."""
    segment = text("nothing here")
    assert apply_findings(Replacing("zzz"), segment) is segment


def test_a_finding_without_a_replacement_refuses_the_text() -> None:
    """The code names the plugin and the rule, the message never the text."""
    with pytest.raises(PluginDenied) as caught:
        apply_findings(Replacing("secret", None), text("a secret"))

    assert caught.value.code == "plugin.replacing.r"
    assert "a secret" not in caught.value.message


@pytest.mark.parametrize(
    "places", [[(0, 2), (1, 3)], [(2, 3), (0, 1)], [(2, 1)], [(0, 99)], [(-1, 1)]]
)
def test_findings_out_of_order_are_a_fault_of_the_plugin(places: list[tuple[int, int]]) -> None:
    """Applying them would let through what one of them covers."""
    with pytest.raises(ContractViolation) as caught:
        apply_findings(Fixed(*places), text("abcd"))

    assert caught.value.origin is Origin.PLUGIN


def test_findings_that_touch_are_in_order() -> None:
    """An empty one is an insertion."""
    assert apply_findings(Fixed((0, 1), (1, 1), (1, 2)), text("abcd")).text == "***cd"


async def test_a_scanning_plugin_judges_every_segment_whole() -> None:
    """In order, with pointers and kinds as they were."""
    segments = [text("a b"), Segment(pointer="/i", kind=SegmentKind.IMAGE), text("b")]
    judged = await Replacing("b").inspect(CALL, segments)
    assert judged == (text("a *"), segments[1], text("*"))


async def test_a_plugin_that_looks_for_nothing_changes_nothing() -> None:
    """The base class is a plugin already, with the configuration of its entry."""

    class Silent(Plugin):
        name = "silent"

    segments = (text("a"),)
    assert await Silent().inspect(CALL, segments) == segments
    assert Silent().config == {}
    assert Silent({"mask": "x"}).config == {"mask": "x"}


def test_a_plan_is_empty_when_it_names_no_plugin() -> None:
    """Then nothing is lifted, nothing parsed."""
    assert not HookPlan()
    assert HookPlan(request=("pii",))
    assert HookPlan(answer=("pii",))


def test_a_plan_names_the_plugins_of_each_phase() -> None:
    """Two phases look at a request, two at its answer."""
    plan = HookPlan(request=("in",), answer=("out",))
    assert {phase for phase in HookPhase if plan.names_in(phase) == ("in",)} == REQUEST_PHASES
    assert plan.names_in(HookPhase.POST_FETCH) == plan.names_in(HookPhase.POST_INVOKE) == ("out",)


def test_every_kind_that_carries_content_has_phases() -> None:
    """First one that looks at the request, then one that looks at its answer."""
    phases = {kind: phases_of(kind) for kind in Kind}
    without = {kind for kind, pair in phases.items() if pair is None}
    assert without == {Kind.PROVIDER, Kind.GATEWAY, Kind.SERVER, Kind.TOOLSET, Kind.ROOT}
    assert phases[Kind.RESOURCE] == (HookPhase.PRE_FETCH, HookPhase.POST_FETCH)
    assert phases[Kind.TOOL] == (HookPhase.PRE_INVOKE, HookPhase.POST_INVOKE)


def test_a_plugin_is_bound_to_its_host_once_it_is_built() -> None:
    """Until then there is none."""

    class Alone(PluginHost):
        @property
        def budget_seconds(self) -> float:
            return 1.0

        async def invoke(self, call: PluginInput, model: str, request: JsonObject) -> JsonObject:
            return request

        def secret(self, reference: str) -> Secret:
            return Secret(reference)

        async def address_of(self, url: str) -> str:
            return url

    plugin, host = Replacing("b"), Alone()
    assert plugin.host is None
    plugin.bind(host)
    assert plugin.host is host
