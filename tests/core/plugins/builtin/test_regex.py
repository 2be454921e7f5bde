"""Patterns of an operator: what they find, that any cut finds the same, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spindle.plugins import run_phase
from spindle.plugins.builtin.regex import Regex
from spindle.plugins.registry import PluginRegistry
from spindle_spi.errors import ConfigError, PluginDenied
from spindle_spi.plugin import apply_findings
from tests.core.plugins.samples import (
    Entry,
    Section,
    bounded,
    call,
    cut,
    make_registry,
    names_of,
    open_guard,
    places,
    stream,
    text_segment,
)

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

RULES: list[Json] = [
    {"name": "ticket", "pattern": r"\bTK-\d+\b", "max_length": 9},
    {"name": "word", "pattern": "(?:ab|abab)+c?", "replacement": "<>", "max_length": 6},
    {"name": "loud", "pattern": "é[a-z]*!", "ignore_case": True, "max_length": 5},
]
FRAGMENTS = [
    "TK-",
    "12",
    "TK-7",
    " ",
    "ab",
    "abab",
    "c",
    "é",
    "É",
    "zZ",
    "!",
    "\ud800",
    "\U0001f600",
    "x",
]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)
EACH: list[JsonObject] = [{"rules": [rule]} for rule in RULES]
ALL: JsonObject = {"rules": RULES}
RULE_SETS = [*EACH, ALL]


def mask(text: str, *rules: Json) -> str:
    return apply_findings(Regex({"rules": list(rules)}), text_segment(text)).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see TK-12 and TK-3.", "see [TICKET] and [TICKET]."),
        ("xTK-12", "xTK-12"),
        ("TK-1234567", "TK-1234567"),
        ("TK-12\ud800", "[TICKET]\ud800"),
        ("ababab ab", "<> <>"),
        ("ÉZ!", "[LOUD]"),
    ],
)
def test_what_a_rule_describes_is_replaced(text: str, expected: str) -> None:
    """A match longer than its bound is none, unless a shorter one begins there."""
    assert mask(text, *RULES) == expected


def test_of_two_that_begin_together_the_first_rule_counts() -> None:
    first: Json = {"name": "a", "pattern": "ab"}
    second: Json = {"name": "b", "pattern": "abc"}
    assert mask("abc", first, second) == "[A]c"
    assert mask("abc", second, first) == "[B]"


def test_a_rule_that_denies_names_itself_and_not_the_text() -> None:
    plugin = Regex({"rules": [{"name": "code", "pattern": "tiger", "action": "deny"}]})

    with pytest.raises(PluginDenied) as caught:
        apply_findings(plugin, text_segment("the tiger sleeps"))

    assert caught.value.code == "plugin.regex.code"
    assert "tiger" not in caught.value.message


@bounded
@given(text=texts, config=st.sampled_from(RULE_SETS))
@example(text="TK-12TK-12 TK-7", config=RULE_SETS[3])
def test_every_position_is_decided_by_its_window(text: str, config: JsonObject) -> None:
    plugin = Regex(config)

    for position in range(len(text)):
        base = max(0, position - plugin.lookbehind)
        window = text[base : position + (plugin.span or 0)]
        whole = [f for f in plugin.scan(text, position) if f.start == position][:1]
        seen = [f for f in plugin.scan(window, position - base) if f.start == position - base][:1]
        assert [f.end - f.start for f in whole] == [f.end - f.start for f in seen]


@bounded
@given(text=texts, config=st.sampled_from(RULE_SETS), at=places)
async def test_any_cut_gives_what_the_whole_text_gives(
    text: str, config: JsonObject, at: list[int]
) -> None:
    plugin = Regex(config)
    registry = make_registry(plugin)
    expected = apply_findings(plugin, text_segment(text))

    for chunks in (cut(text, at), list(text)):
        streamed = await stream(open_guard(registry), chunks)
        assert (streamed.denied, streamed.released) == (None, expected.text)

    judged = await run_phase(registry, names_of(registry), call(), [text_segment(text)])
    assert judged == (expected,)


@pytest.mark.parametrize("place", [4094, 4095, 4096, 4097, 8191])
def test_a_match_across_blocks_is_found(place: int) -> None:
    text = f"{'.' * place}TK-12 {'.' * 100}"
    assert mask(text, RULES[0]) == f"{'.' * place}[TICKET] {'.' * 100}"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing )"),
        (r"(a)\1", "invalid escape"),
        ("(?=a)", "invalid perl operator"),
        ("^a", "no beginning or end"),
        ("a$", "no beginning or end"),
        (r"\Aa", "no beginning or end"),
        (r"a\\$", "no beginning or end"),
        (r"[a]b\z", "no beginning or end"),
    ],
)
def test_a_pattern_that_cannot_hold_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    entry = Entry(
        name="mine", plugin="regex", config={"rules": [{"name": "r", "pattern": pattern}]}
    )

    with pytest.raises(ConfigError) as caught:
        PluginRegistry.load(Section(entries=(entry,)))

    (fault,) = caught.value.faults
    assert fault.startswith("plugins.entries[0].config: The rule r: ")
    assert reason in fault


@pytest.mark.parametrize("pattern", [r"\$5", r"\^", "[$^]", r"[]$]", r"[^a]", "a|b"])
def test_signs_that_are_no_anchors_are_taken(pattern: str) -> None:
    Regex({"rules": [{"name": "r", "pattern": pattern}]})


@pytest.mark.parametrize("pattern", ["(a|aa)+b", "(a*)*b", "a.*b.*c.*d"])
def test_no_pattern_and_no_text_cost_more_than_linear_time(pattern: str) -> None:
    """Backtracking would not end within the suite's time limit."""
    Regex({"rules": [{"name": "r", "pattern": pattern}]}).scan("a" * 60_000, 0)
