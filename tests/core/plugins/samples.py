"""Plugins, calls and settings that the tests of the plugin pipeline share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias
from zlib import crc32

from hypothesis import settings
from hypothesis import strategies as st

from spindle.plugins import PluginRegistry
from spindle.plugins import open_guard as open_registered_guard
from spindle.plugins.active import ActivePlugin
from spindle.plugins.conditions import EVERYWHERE, Conditions
from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.errors import PluginDenied
from spindle_spi.plugin import (
    Finding,
    HookPhase,
    Lane,
    Plugin,
    PluginInput,
    PluginMode,
    Segment,
    SegmentKind,
)
from spindle_spi.records import Kind
from spindle_spi.types import Json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spindle.plugins import Guard

Act: TypeAlias = "Callable[[Sequence[Segment]], Sequence[Segment]]"

TEXT = SegmentKind.TEXT
LANE = Lane()
CONTEXT = AuthenticatedContext(
    subject=Subject(), visibility_scope=VisibilityScope(), trace=TraceContext(request_id="r1")
)


def call(phase: HookPhase = HookPhase.POST_INVOKE) -> PluginInput:
    return PluginInput(context=CONTEXT, target_kind=Kind.MODEL, target_name="m", phase=phase)


def text_segment(text: str, pointer: str = "/text") -> Segment:
    return Segment(pointer=pointer, kind=TEXT, text=text)


class Windowed(Plugin):
    """Whether something stands at a position is a hash of exactly the window it may see."""

    name = "windowed"

    def __init__(
        self, *, seed: int = 0, span: int = 3, lookbehind: int = 1, denies: bool = False
    ) -> None:
        self.span = span
        self.lookbehind = lookbehind
        self._width = span
        self._seed = seed
        self._denies = denies

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        findings: list[Finding] = []
        position = start

        while position < len(text):
            found = self._at(text, position)

            if found is not None:
                findings.append(found)

            position += 1 if found is None else found.end - found.start

        return findings

    def _at(self, text: str, position: int) -> Finding | None:
        before = text[max(0, position - self.lookbehind) : position]
        window = text[position : position + self._width]
        chance = crc32(f"{self._seed}|{before}|{window}".encode("utf-8", "surrogatepass"))

        if chance % 4:
            return None

        end = position + 1 + (chance >> 8) % len(window)
        is_denied = self._denies and (chance >> 16) % 8 == 0
        replacement = None if is_denied else ("", "x", "<a>", "ab")[(chance >> 20) % 4]
        return Finding(start=position, end=end, rule="hash", replacement=replacement)


class Word(Plugin):
    """Replaces or refuses one word wherever it stands; counts what it looked at."""

    name = "word"

    def __init__(self, word: str, replacement: str | None, *, span: int | None = 0) -> None:
        self.span = len(word) if span == 0 else span
        self._word = word
        self._replacement = replacement
        self.looked_at = 0
        self.longest = 0

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        self.looked_at += len(text) - start
        self.longest = max(self.longest, len(text))
        findings: list[Finding] = []
        begin = text.find(self._word, start)

        while begin != -1:
            end = begin + len(self._word)
            rule = "word"
            findings.append(Finding(start=begin, end=end, rule=rule, replacement=self._replacement))
            begin = text.find(self._word, end)

        return findings


class Inspecting(Plugin):
    """A plugin without a span that does what the test says to each call of `inspect`."""

    name = "inspecting"

    def __init__(
        self,
        act: Act,
        *,
        kinds: frozenset[SegmentKind] = frozenset({TEXT}),
    ) -> None:
        self._act = act
        self.kinds = kinds
        self.seen: list[tuple[Segment, ...]] = []

    async def inspect(self, call: PluginInput, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        del call
        self.seen.append(tuple(segments))
        return tuple(self._act(segments))


def shout(segments: Sequence[Segment]) -> Sequence[Segment]:
    return [replace(segment, text=segment.text.upper()) for segment in segments]


def refuse(segments: Sequence[Segment]) -> Sequence[Segment]:
    raise PluginDenied(f"No {len(segments)}.", code="plugin.inspecting.no")


def fail(segments: Sequence[Segment]) -> Sequence[Segment]:
    raise ValueError(f"the text was {segments[0].text}")


@dataclass
class Counted:
    """A meter that keeps what was added."""

    findings: list[tuple[str, str, str, str]] = field(
        default_factory=list[tuple[str, str, str, str]]
    )
    counts: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """By metric without its ends, and plugin."""
    seconds: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def count(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        found = labels or {}
        assert value == 1.0

        if name == "spindle_plugin_findings_total":
            self.findings.append((found["plugin"], found["rule"], found["mode"], found["verdict"]))
        else:
            short = name.removeprefix("spindle_plugin_").removesuffix("_total")
            self.counts[short, found["plugin"]] += 1

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        assert name == "spindle_plugin_seconds"
        self.seconds.append(((labels or {})["plugin"], value))


def make_registry(
    *plugins: Plugin | tuple[Plugin, PluginMode],
    refuses_unhandled: bool = False,
    meter: Counted | None = None,
    budget_seconds: float = 5.0,
    held_limit: int = 4096,
) -> PluginRegistry:
    """Make a registry of plugins named p0, p1, …"""
    active: list[ActivePlugin] = []

    for index, entry in enumerate(plugins):
        plugin, mode = (entry, PluginMode.ENFORCE) if isinstance(entry, Plugin) else entry
        active.append(
            ActivePlugin(name=f"p{index}", plugin=plugin, mode=mode, phases=plugin.phases)
        )

    return PluginRegistry(
        active,
        refuses_unhandled=refuses_unhandled,
        meter=meter,
        budget_seconds=budget_seconds,
        held_limit=held_limit,
    )


def names_of(registry: PluginRegistry) -> tuple[str, ...]:
    return tuple(active.name for active in registry.active)


def open_guard(registry: PluginRegistry, on_finish: Callable[[], None] = lambda: None) -> Guard:
    return open_registered_guard(registry, names_of(registry), call(), on_finish)


@dataclass(kw_only=True)
class Streamed:
    """What came out of one lane, and how it ended."""

    released: str = ""
    denied: str | None = None


async def stream(guard: Guard, chunks: Sequence[str], lane: Lane = LANE) -> Streamed:
    """Send chunks through one lane and close it."""
    result = Streamed()

    try:
        for chunk in chunks:
            result.released += await guard.push(lane, chunk)

        result.released += await guard.close(lane)
    except PluginDenied as denied:
        result.denied = denied.code

    return result


def cut(text: str, places: Sequence[int]) -> list[str]:
    """Cut a text at places between 0 and its length."""
    edges = [0, *sorted({place % (len(text) + 1) for place in places}), len(text)]
    return [text[begin:end] for begin, end in zip(edges, edges[1:], strict=False)]


def every_cut(text: str) -> Iterator[list[str]]:
    """Yield every way to cut a text."""
    for mask in range(1 << max(0, len(text) - 1)):
        places = [index + 1 for index in range(len(text) - 1) if mask >> index & 1]
        yield cut(text, places) if places else [text]


# No deadline: it measures the machine. Every run tries the same examples.
bounded = settings(max_examples=200, deadline=None, derandomize=True)
briefly = settings(max_examples=50, deadline=None, derandomize=True)

places = st.lists(st.integers(0, 2000), max_size=40)
windowed = st.builds(
    Windowed,
    seed=st.integers(0, 1000),
    span=st.integers(1, 12),
    lookbehind=st.integers(0, 3),
    denies=st.booleans(),
)


def _no_config() -> Mapping[str, Json]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry of the section `plugins`, as the settings have it."""

    name: str = "pii"
    plugin: str = "pii"
    mode: str = "enforce"
    priority: int = 100
    phases: tuple[str, ...] | None = None
    conditions: Conditions = EVERYWHERE
    budget_seconds: float | None = None
    on_error: str = "deny"
    config: Mapping[str, Json] = field(default_factory=_no_config)


@dataclass(frozen=True, kw_only=True)
class Section:
    """The section `plugins`."""

    entries: tuple[Entry, ...] = ()
    unhandled: str = "allow"
    allow_fail_open: bool = True


@dataclass(frozen=True)
class Offer:
    """An entry point as the tests offer it."""

    name: str
    loaded: object

    def load(self) -> object:
        if isinstance(self.loaded, Exception):
            raise self.loaded

        return self.loaded
