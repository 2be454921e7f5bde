"""Scripts for the prover: any answer that a dialect can say and a surface can show, and faults."""

from __future__ import annotations

import json
from dataclasses import replace
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
    from collections.abc import Sequence

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
_FINISHES_OF_CALLS = frozenset({Finish.TOOL_CALLS, Finish.LENGTH, Finish.STOP, Finish.NONE})
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
    return st.builds(lambda answer, fault: replace(answer, fault=fault), answers(cell), faults)


def framings() -> st.SearchStrategy[Framing]:
    """Return ways to write events."""
    return _FRAMINGS


def cuts(data: bytes) -> st.SearchStrategy[tuple[bytes, ...]]:
    """Return ways to cut bytes into reads: at a few places anywhere, or at every one."""
    if len(data) < 2:
        return st.just((data,))

    places = st.lists(st.integers(1, len(data) - 1), max_size=6, unique=True).map(sorted)
    return st.one_of(
        places.map(lambda at: pieces(data, at)),
        st.integers(1, 9).map(lambda size: pieces(data, range(size, len(data), size))),
    )


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

    finishes = cell.dialect.finishes - {Finish.STOP_SEQUENCE}

    if any(isinstance(part, Call) for part in parts):
        finishes &= _FINISHES_OF_CALLS
    else:
        finishes -= {Finish.TOOL_CALLS}

    return Choice(parts=tuple(parts), finish=draw(st.sampled_from(sorted(finishes))))


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
