"""Scripts for the prover: any answer that a dialect can say and a surface can show, and faults."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from spindle_conformance.upstreams.answers import (
    Answer,
    Call,
    Capability,
    Choice,
    Finish,
    Part,
    Redacted,
    Refusal,
    Text,
    Thought,
    Usage,
)
from spindle_conformance.upstreams.faults import Fault, How
from spindle_conformance.upstreams.framing import (
    BARE_FRAMING,
    COMMENT_FRAMING,
    CRLF_FRAMING,
    PLAIN_FRAMING,
    Framing,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from spindle_conformance.parity.cells import Cell

_LETTERS = 'ab 01\n\t"\\{}[],:üß狐🦊\u2028\u00a0\r'
"""What codecs stumble over: quotes, escapes, line ends, characters of two to four bytes."""
_WORDS = st.sampled_from(
    ["data: ", "[DONE]", "\n\n", "event: error\n", '"model":"x"', "é", "🦊", "\\u00", "null", ": "]
)
_PIECE = st.one_of(st.text(_LETTERS, max_size=6), _WORDS)
_PIECES = st.lists(_PIECE, max_size=5).map(tuple)
_SOME_PIECES = st.lists(_PIECE.filter(bool), min_size=1, max_size=5).map(tuple)
_SIGNATURES = st.text("ABCdef0189+/=", min_size=1, max_size=12)
_NAMES = st.sampled_from(["get_weather", "f", "a-b_c", "search.web", "Ünicode"])
_ARGUMENTS = st.one_of(
    st.just(""),
    st.just("{}"),
    st.dictionaries(
        st.sampled_from(["city", "n", "ü", "deep"]),
        st.one_of(st.text(_LETTERS, max_size=8), st.integers(-5, 10**6), st.none(), st.booleans()),
        max_size=3,
    ).map(lambda value: json.dumps(value, ensure_ascii=False)),
)
_BROKEN = st.sampled_from(['{"city": "Par', "not json", "[1]", '"text"'])
_SHORT = 400
"""Bytes of a stream that may be cut into single ones."""
_FRAMINGS = st.sampled_from([PLAIN_FRAMING, CRLF_FRAMING, BARE_FRAMING, COMMENT_FRAMING])


def answers(cell: Cell) -> st.SearchStrategy[Answer]:
    """Return answers without a fault."""
    can = cell.capabilities
    most = 3 if Capability.CHOICES in can else 1
    return st.builds(
        Answer,
        model=st.just("m"),
        choices=st.lists(_choices(cell), min_size=1, max_size=most).map(tuple),
        usage=_usages(can),
        logprobs=st.booleans() if Capability.LOGPROBS in can else st.just(value=False),
    )


def faulty(cell: Cell) -> st.SearchStrategy[Answer]:
    """Return answers that go wrong after some events of their stream, or before the first."""
    faults = st.builds(
        Fault,
        how=st.sampled_from([How.ERROR, How.CUT, How.END]),
        after=st.integers(0, 8),
    )
    return st.builds(_with_fault, answers(cell), faults)


def _with_fault(answer: Answer, fault: Fault) -> Answer:
    return replace(answer, fault=fault)


def framings() -> st.SearchStrategy[Framing]:
    """Return ways to write events."""
    return _FRAMINGS


def cut(data: bytes, random: Random) -> tuple[bytes, ...]:
    """Return bytes cut into reads: at a few places anywhere, or into equal pieces.

    Every single cut of short streams is proven apart; long ones are cut into a few dozen reads.
    """
    if len(data) < 2:
        return (data,)

    if random.random() < 0.5:
        most = min(6, len(data) - 1)
        return pieces(data, sorted(random.sample(range(1, len(data)), random.randint(0, most))))

    smallest = 1 if len(data) <= _SHORT else len(data) // 40
    size = random.randint(smallest, smallest + 9)
    return pieces(data, range(size, len(data), size))


def pieces(data: bytes, places: Sequence[int]) -> tuple[bytes, ...]:
    """Return bytes cut at some places, in order."""
    ends = [*places, len(data)]
    return tuple(data[start:end] for start, end in zip([0, *places], ends, strict=True))


@st.composite
def _choices(draw: st.DrawFn, cell: Cell) -> Choice:
    can, parts = cell.capabilities, list[Part]()

    if Capability.REASONING in can and draw(st.booleans()):
        signature = draw(_SIGNATURES) if Capability.SIGNATURES in can else ""
        parts.append(Thought(pieces=draw(_SOME_PIECES), signature=signature))

    if Capability.REDACTED in can and draw(st.integers(0, 3)) == 0:
        parts.append(Redacted(data=draw(_SIGNATURES)))

    if draw(st.integers(0, 3)):
        parts.append(Text(pieces=draw(_PIECES)))

    if Capability.REFUSAL in can and draw(st.integers(0, 4)) == 0:
        parts.append(Refusal(pieces=draw(_SOME_PIECES)))

    if Capability.CALLS in can and draw(st.integers(0, 2)) == 0:
        parts += draw(_calls(cell))

    if Capability.ORDER in can and draw(st.integers(0, 4)) == 0:
        parts = draw(st.permutations(parts))

    return Choice(parts=tuple(parts), finish=draw(st.sampled_from(_finishes(cell, parts))))


@st.composite
def _calls(draw: st.DrawFn, cell: Cell) -> list[Part]:
    found: list[Part] = []

    for number in range(draw(st.integers(1, 3))):
        is_broken = Capability.BROKEN_ARGUMENTS in cell.capabilities and not draw(st.integers(0, 9))
        arguments = draw(_BROKEN if is_broken else _ARGUMENTS)
        size = draw(st.integers(1, max(1, len(arguments))))
        cut = tuple(arguments[start : start + size] for start in range(0, len(arguments), size))
        found.append(Call(name=draw(_NAMES), pieces=cut, id=f"call_{number}"))

    return found


def variants(cell: Cell, answer: Answer, count: int) -> Iterator[Answer]:
    """Yield an answer, and others like it: said in other pieces, ended and counted otherwise."""
    yield answer

    for number in range(1, count):
        random = Random(f"{answer!r} {number}")
        choices = tuple(_varied(cell, choice, random) for choice in answer.choices)
        usage = answer.usage

        if usage is not None:
            usage = replace(usage, prompt=random.randint(10, 5000))

        yield replace(answer, choices=choices, usage=usage)


def _varied(cell: Cell, choice: Choice, random: Random) -> Choice:
    parts = tuple(
        part if isinstance(part, Redacted) else replace(part, pieces=_recut(part.pieces, random))
        for part in choice.parts
    )
    return Choice(parts=parts, finish=random.choice(_finishes(cell, parts)))


def _recut(pieces: tuple[str, ...], random: Random) -> tuple[str, ...]:
    text = "".join(pieces)
    found: list[str] = []

    while text:
        size = random.randint(1, 5)
        found.append(text[:size])
        text = text[size:]

    return tuple(found)


def _finishes(cell: Cell, parts: Iterable[Part]) -> list[Finish]:
    """Return how an answer of these parts may end."""
    if any(isinstance(part, Call) for part in parts):
        return sorted(cell.finishes_of_calls)

    return sorted(cell.finishes - {Finish.TOOL_CALLS})


def _usages(can: frozenset[Capability]) -> st.SearchStrategy[Usage | None]:
    def few(capability: Capability) -> st.SearchStrategy[int]:
        return st.integers(0, 4) if capability in can else st.just(0)

    told = st.builds(
        Usage,
        prompt=st.integers(10, 5000),
        completion=st.integers(1, 5000),
        cached=few(Capability.CACHED_TOKENS),
        cache_write=few(Capability.CACHE_WRITE_TOKENS),
        reasoning=st.integers(0, 1) if Capability.REASONING_TOKENS in can else st.just(0),
    )
    return st.one_of(told, st.none()) if Capability.NO_USAGE in can else told
