"""The path with plugins against the path without, and streams under plugins against whole answers.

At cuts that Hypothesis draws. What real principals and the plugin tables of a real core come to is
in `tests/journeys/test_differential.py`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spindle_conformance.parity import READERS, Cell, Relayed, Said, cells_of
from spindle_conformance.upstreams.answers import (
    Answer,
    Call,
    Capability,
    Finish,
    Redacted,
    Thought,
    answer_of,
    needs,
    text_of,
)
from spindle_conformance.upstreams.framing import CRLF_FRAMING, PLAIN_FRAMING
from spindle_conformance.upstreams.repertoire import act_for, act_names
from spindle_conformance.upstreams.requests import Asked
from spindle_spi.admission import Status
from tests.llm.parity.subject import ModuleSubject
from tests.llm.support.records import ANSWER, REQUEST, Word

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from spindle_conformance.parity.readers.base import Streamed
    from spindle_spi.admission import Outcome
    from spindle_spi.plugin import Plugin

pytestmark = pytest.mark.unmeasured
EXAMPLES = 40
SECRET, MASK = "secret", "######"
CELLS: Final = [
    cell
    for cell in cells_of(("openai", "anthropic", "ollama", "openrouter", "gpt4all"))
    if cell.surface != "responses" or cell.dialect.name in ("openai", "anthropic")
]
"""Raw where dialect and surface are of one form, translated elsewhere."""
EACH = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)

Looking = tuple[str, "list[Plugin]"]
HARMLESS: Final[tuple[Looking, ...]] = (
    ("looks", [Word()]),
    ("at requests", [Word("", None, REQUEST)]),
    ("at answers", [Word("", None, ANSWER)]),
    ("for what is not there", [Word("not-in-there")]),
    ("twice", [Word(), Word("nowhere")]),
)
"""Plugin tables that change nothing."""


@dataclass(frozen=True, slots=True)
class Asking:
    """One cell's product, and a client of it."""

    cell: Cell
    subject: ModuleSubject

    def plugins(self, *plugins: Plugin) -> None:
        """Put these plugins in force."""
        self.subject.host.plugins[:] = plugins

    def whole(self, answer: Answer) -> tuple[Relayed, Outcome]:
        """Ask for a whole answer."""
        relayed = self.subject.whole(self.cell.dialect.unary(answer), "application/json")
        return relayed, self._settled()

    def stream(self, pieces: Sequence[bytes]) -> tuple[Relayed, Outcome]:
        """Ask for a stream, whose bytes come in these reads."""
        has_streams = Capability.STREAM in self.cell.dialect.capabilities
        kind = self.cell.dialect.content_type if has_streams else "application/json"
        return self.subject.stream(pieces, kind, is_cut=False), self._settled()

    def read(self, relayed: Relayed) -> Streamed:
        """Return what a client makes of a stream."""
        return READERS[self.cell.surface].stream(relayed.body)

    def said(self, relayed: Relayed) -> Said:
        """Return what a client makes of a whole answer."""
        return READERS[self.cell.surface].whole(relayed.body)

    def bytes_of(self, answer: Answer, *, crlf: bool = False) -> bytes:
        """Return the stream of an answer in the upstream's bytes."""
        dialect = self.cell.dialect

        if Capability.STREAM not in dialect.capabilities:
            return dialect.unary(answer)

        return dialect.stream(answer, CRLF_FRAMING if crlf else PLAIN_FRAMING)

    def _settled(self) -> Outcome:
        (settled,) = self.subject.host.journal.settled
        self.subject.host.journal.settled.clear()
        assert not self.subject.host.open_permits
        return settled.outcome


@contextmanager
def _asking(cell: Cell) -> Generator[Asking]:
    subject = ModuleSubject(cell)

    try:
        yield Asking(cell, subject)
    finally:
        subject.close()


def _answers(cell: Cell) -> list[Answer]:
    """Return the answers of the repertoire that a cell can say and show."""
    found: list[Answer] = []

    for name in act_names():
        act = act_for(Asked(model=name, tools=("f", "g")))
        assert act is not None
        is_plain = act.answer.fault is None and not act.manner and not act.pause
        is_plain = is_plain and not name.startswith("big")

        if name == "no-finish" and cell.name == "anthropic × messages":
            # Byte for byte: a message that has no reason to end gets none.
            continue

        if is_plain and _is_sayable(cell, act.answer):
            found.append(cell.dialect.fitted(act.answer))

    return found


def _cut(data: bytes, places: Sequence[float]) -> list[bytes]:
    """Return a body in reads that end at some parts of its length."""
    ends = sorted({int(place * len(data)) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


PLACES = st.lists(st.floats(0, 1), max_size=30)
RUN = partial(
    settings,
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=(
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
    ),
)


def _comparable(outcome: Outcome) -> tuple[object, ...]:
    """Return what a call came to; what is estimated is estimated by what was read."""
    usage = outcome.usage
    counted = None if usage is None or usage.estimated else usage
    return outcome.status, outcome.error_code, counted, outcome.finish_reasons


@pytest.mark.requirement("000-module-owns-streaming")
@EACH
def test_a_plugin_that_changes_nothing_changes_nothing(cell: Cell) -> None:
    """The same answer, whole and streamed, and the same settlement as with no plugin at all."""
    answers = _answers(cell)
    assert len(answers) > 5

    with _asking(cell) as asking:

        @RUN()
        @given(answer=st.sampled_from(answers), table=st.sampled_from(HARMLESS), places=PLACES)
        def each(answer: Answer, table: Looking, places: list[float]) -> None:
            pieces = _cut(asking.bytes_of(answer), places)
            asking.plugins()
            whole, streamed = asking.whole(answer), asking.stream(pieces)
            asking.plugins(*table[1])
            whole_too, streamed_too = asking.whole(answer), asking.stream(pieces)

            assert (whole_too[0].status, streamed_too[0].status) == (200, 200)
            assert _without_tokens(asking.said(whole_too[0])) == _without_tokens(
                asking.said(whole[0])
            )
            assert _comparable(whole_too[1]) == _comparable(whole[1])
            said, said_too = asking.read(streamed[0]), asking.read(streamed_too[0])
            assert (said_too.failed, _without_tokens(said_too.said)) == (
                said.failed,
                _without_tokens(said.said),
            )
            assert _comparable(streamed_too[1]) == _comparable(streamed[1])

        each()


def _without_tokens(said: Said) -> Said:
    """Leave out log probabilities: they repeat the text, and nobody judges them."""
    return replace(said, choices=tuple(replace(choice, tokens=()) for choice in said.choices))


SAYING: Final[dict[str, Callable[[int], Answer]]] = {
    "in a text": lambda size: answer_of(
        "m", text_of(f"Before it. The {SECRET} is here, and {SECRET[:4]} is not.", size)
    ),
    "at the end": lambda size: answer_of("m", text_of(f"All of it is {SECRET}", size)),
    "in a thought": lambda size: answer_of(
        "m", Thought(pieces=_pieces(f"Think of {SECRET}s first.", size)), text_of("Done.", size)
    ),
    "in a signed thought": lambda size: answer_of(
        "m",
        Thought(pieces=_pieces(f"Think of {SECRET}s first.", size), signature="c2lnbmVk"),
        text_of("Done.", size),
    ),
    "after a sealed thought": lambda size: answer_of(
        "m", Redacted(data="c2VhbGVk"), text_of(f"A {SECRET}.", size)
    ),
    "in arguments": lambda size: answer_of(
        "m",
        text_of("Let me look.", size),
        Call(name="f", pieces=_pieces(f'{{"q": "the {SECRET} one", "n": 1}}', size), id="call_a"),
        Call(name="g", pieces=_pieces('{"q": "nothing"}', size), id="call_b"),
        finish=Finish.TOOL_CALLS,
    ),
    "in arguments, escaped": lambda size: answer_of(
        "m",
        Call(name="f", pieces=_pieces('{"q": "the \\u0073ecret one"}', size), id="call_a"),
        finish=Finish.TOOL_CALLS,
    ),
}
"""Where a word is said, in pieces of a size."""


def _pieces(text: str, size: int) -> tuple[str, ...]:
    return text_of(text, size).pieces


def _sayable(cell: Cell) -> list[str]:
    return [name for name, make in SAYING.items() if _is_sayable(cell, make(3))]


def _is_sayable(cell: Cell, answer: Answer) -> bool:
    """Tell whether a dialect says it without loss, and a surface shows it."""
    fitted = cell.dialect.fitted(answer)
    return cell.dialect.expresses(fitted) and needs(fitted) <= cell.capabilities


@EACH
def test_what_is_masked_is_masked_at_any_cut(cell: Cell) -> None:
    """A stream says what the whole answer says, and the word is in no byte of either."""
    with _asking(cell) as asking:
        asking.plugins(Word(SECRET, MASK, ANSWER))

        @RUN()
        @given(name=st.sampled_from(_sayable(cell)), size=st.integers(1, 30), places=PLACES)
        def each(name: str, size: int, places: list[float]) -> None:
            answer = cell.dialect.fitted(SAYING[name](size))
            whole, settled = asking.whole(answer)
            streamed, settled_too = asking.stream(_cut(asking.bytes_of(answer), places))
            read = asking.read(streamed)

            assert not read.failed
            assert _without_tokens(read.said) == _without_tokens(asking.said(whole))
            assert SECRET.encode() not in whole.body + streamed.body
            assert MASK.encode() in whole.body
            assert MASK in repr(read.said)
            assert (settled.status, settled_too.status) == (Status.OK, Status.OK)

        each()


@EACH
def test_what_is_refused_is_refused_at_any_cut(cell: Cell) -> None:
    """One verdict, whole and streamed; of the word, and of what follows it, nothing goes out."""
    with _asking(cell) as asking:

        @RUN()
        @given(name=st.sampled_from(_sayable(cell)), size=st.integers(1, 30), places=PLACES)
        def each(name: str, size: int, places: list[float]) -> None:
            answer = cell.dialect.fitted(SAYING[name](size))
            asking.plugins()
            meant = asking.said(asking.whole(answer)[0]).choices[0]
            asking.plugins(Word(SECRET, None, ANSWER))
            whole, settled = asking.whole(answer)
            streamed, settled_too = asking.stream(_cut(asking.bytes_of(answer), places))

            assert whole.status == 403
            verdict = (Status.DENIED, "plugin.test.word")
            assert (settled.status, settled.error_code) == verdict
            assert (settled_too.status, settled_too.error_code) == verdict
            assert SECRET.encode() not in whole.body + streamed.body

            if streamed.status == 200:
                read = asking.read(streamed)
                assert read.failed
                _hold_prefix(read.said, meant.text, meant.reasoning)
            else:
                assert streamed.status == 403

        each()


def _hold_prefix(said: Said, text: str, reasoning: str) -> None:
    """What went out is the beginning of what was meant, and ends before the word."""
    for choice in said.choices:
        assert text.partition(SECRET)[0].startswith(choice.text)
        assert reasoning.partition(SECRET)[0].startswith(choice.reasoning)
        assert SECRET not in repr(choice.calls)
