"""The prover: scripts in, and whatever is proven held against them, cut by cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Protocol

from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from spindle_conformance.parity import scripts
from spindle_conformance.parity.readers import READERS
from spindle_conformance.parity.said import Said, require, said_by, without_ids, without_tokens
from spindle_conformance.upstreams.answers import (
    Answer,
    Call,
    Capability,
    Finish,
    Redacted,
    Thought,
    answer_of,
    text_of,
)
from spindle_conformance.upstreams.faults import How
from spindle_conformance.upstreams.framing import PLAIN_FRAMING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spindle_conformance.parity.cells import Cell
    from spindle_conformance.parity.readers import Reader
    from spindle_conformance.parity.readers.base import Streamed
    from spindle_conformance.upstreams.framing import Framing

SEED = 20_261_129
"""Two runs prove the same."""
_UNCONCERNED = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.large_base_example,
)
"""What a script costs to draw is nothing here."""
VARIANTS = 8
"""Scripts that are made of one that Hypothesis draws."""
SHORTEST_ROUND = 4 * VARIANTS
"""Scripts that a round after the first asks for at least."""
IDLE_ROUNDS = 5
"""Rounds in a row without a new script, after which there are no more to be found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relayed:
    """What a client got."""

    status: int
    body: bytes


class Subject(Protocol):
    """What is proven: it relays one upstream dialect to one surface."""

    @property
    def model(self) -> str:
        """The name its clients know the model by."""
        ...

    def whole(self, body: bytes, content_type: str) -> Relayed:
        """Return what a client gets who asks for a whole answer, of an upstream that sends this."""
        ...

    def stream(self, pieces: Sequence[bytes], content_type: str, *, is_cut: bool) -> Relayed:
        """Return what a client gets who asks for a stream and its usage.

        The upstream's bytes arrive in these reads; with `is_cut` the connection breaks after them.
        """
        ...


class Prover:
    """Proves one cell, and counts what it proved."""

    def __init__(self, cell: Cell, subject: Subject) -> None:
        """Prove that `subject` is what stands between the dialect and the surface of a cell."""
        self.cell = cell
        self.distinct: set[Answer] = set()
        """The scripts so far."""
        self.cut = 0
        """Streams that were read, each at cuts of its own."""
        self._last: Relayed | None = None
        self._subject = subject
        self._reader: Reader = READERS[cell.surface]

    def prove(self, examples: int, *, faults: bool = True) -> None:
        """Prove some scripts, a third of them with a fault, each at cuts of its own.

        Raises:
            Broken: A rule does not hold; Hypothesis shows the smallest script that breaks it.
        """
        self._run(examples, scripts.answers(self.cell), self.prove_answer)

        if faults:
            self._run(max(1, examples // 3), scripts.faulty(self.cell), self.prove_fault)

    def prove_every_cut(self, step: int = 1) -> None:
        """Prove short scripts at every single cut, and a byte at a time.

        With a `step`, at each so-manieth cut: for a quick look.

        Raises:
            Broken: A rule does not hold.
        """
        for answer in short_answers(self.cell):
            data = self._bytes(answer, PLAIN_FRAMING)
            self.prove_cuts(answer, PLAIN_FRAMING, [tuple(bytes([byte]) for byte in data)])
            every = [(data[:place], data[place:]) for place in range(1, len(data), step)]
            self.prove_cuts(answer, PLAIN_FRAMING, every)

    def prove_answer(self, answer: Answer, framing: Framing, pieces: Sequence[bytes]) -> None:
        """Prove one script at one cut: whole, streamed, and as the script says it."""
        whole = self._whole(answer)
        self._hold(whole, answer)
        self.prove_cuts(answer, framing, [pieces], whole)

    def prove_cuts(
        self,
        answer: Answer,
        framing: Framing,
        cuts: Sequence[Sequence[bytes]],
        whole: Said | None = None,
    ) -> None:
        """Prove that one script's stream folds to its whole answer, at each of some cuts."""
        del framing
        expected = self._whole(answer) if whole is None else whole

        for pieces in cuts:
            streamed = self._stream(pieces, is_cut=False)
            require(not streamed.failed, "a stream that went well ends well")
            said = self._comparable(streamed.said, answer)
            require(
                said == self._comparable(expected, answer),
                "a stream folds to the whole answer",
                f"{said}\n  is not\n{expected}",
            )

    def prove_fault(self, answer: Answer, framing: Framing, pieces: Sequence[bytes]) -> None:
        """Prove that a fault is told, whatever the cut, after what came before it."""
        fault = answer.fault
        assert fault is not None
        data = b"".join(pieces)
        is_cut = fault.how is How.CUT
        plain = self._relay((data,), is_cut=is_cut)
        cut = self._relay(pieces, is_cut=is_cut)
        require(plain.status == cut.status, "a cut changes no status", (plain, cut))

        if cut.status != 200:
            require(cut.status >= 400, "what is no answer is an error", cut.status)
            return

        one, other = self._reader.stream(plain.body), self._reader.stream(cut.body)
        require(one == other, "a cut changes nothing", (one, other))
        whole = said_by(replace(answer, fault=None), self.cell.dialect, self._subject.model)
        told = replace(other, said=self._comparable(other.said, answer))
        self._hold_prefix(told, self._comparable(whole, answer))
        del framing

    def _hold_prefix(self, streamed: Streamed, whole: Said) -> None:
        if not streamed.failed:
            # Everything had been said when the upstream failed, but perhaps what it cost.
            found = without_tokens(streamed.said).choices
            require(found == whole.choices, "only a whole answer ends well", found)

        for said, meant in zip(streamed.said.choices, whole.choices, strict=False):
            require(meant.text.startswith(said.text), "nothing is said that was not", said.text)
            require(
                meant.reasoning.startswith(said.reasoning), "nothing is thought that was not", said
            )

    def _run(
        self,
        examples: int,
        answers: st.SearchStrategy[Answer],
        prove: Callable[[Answer, Framing, Sequence[bytes]], None],
    ) -> None:
        target = len(self.distinct) + examples
        round_number = idle_rounds = 0

        # A strategy repeats itself now and then: what counts is how many scripts were different.
        # Hypothesis begins with what is simplest, so that a short round finds nothing new.
        while len(self.distinct) < target and idle_rounds < IDLE_ROUNDS:
            before = len(self.distinct)
            shortest = SHORTEST_ROUND if round_number else 1
            self._round(max(target - before, shortest), answers, prove, round_number)
            round_number += 1
            idle_rounds = idle_rounds + 1 if len(self.distinct) == before else 0

    def _round(
        self,
        examples: int,
        answers: st.SearchStrategy[Answer],
        prove: Callable[[Answer, Framing, Sequence[bytes]], None],
        number: int,
    ) -> None:
        @seed(SEED + number)
        @settings(
            max_examples=1 + examples // VARIANTS,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=_UNCONCERNED,
        )
        @given(answer=answers, framing=scripts.framings(), places=st.integers(0, 2**32))
        def each(answer: Answer, framing: Framing, places: int) -> None:
            random = Random(places)

            for script in scripts.variants(self.cell, answer, VARIANTS):
                if script not in self.distinct:
                    self._prove_one(script, fitting(script, framing), prove, random)
                    self.distinct.add(script)

        each()

    def _prove_one(
        self,
        script: Answer,
        framing: Framing,
        prove: Callable[[Answer, Framing, Sequence[bytes]], None],
        random: Random,
    ) -> None:
        pieces = scripts.cut(self._bytes(script, framing), random)

        try:
            prove(script, framing, pieces)
        except AssertionError:
            note(f"script: {script!r}\nframing: {framing!r}\nreads: {pieces!r}")
            note(f"the client got: {self._last!r}")
            raise

    def _bytes(self, answer: Answer, framing: Framing) -> bytes:
        dialect = self.cell.dialect

        if Capability.STREAM not in dialect.capabilities:
            return dialect.unary(answer)

        return dialect.stream(answer, framing)

    def _whole(self, answer: Answer) -> Said:
        relayed = self._subject.whole(self.cell.dialect.unary(answer), "application/json")
        require(relayed.status == 200, "a whole answer is answered with 200", relayed)
        return self._reader.whole(relayed.body)

    def _relay(self, pieces: Sequence[bytes], *, is_cut: bool) -> Relayed:
        self.cut += 1
        kind = self.cell.dialect.content_type
        has_streams = Capability.STREAM in self.cell.dialect.capabilities
        self._last = self._subject.stream(
            pieces, kind if has_streams else "application/json", is_cut=is_cut
        )
        return self._last

    def _stream(self, pieces: Sequence[bytes], *, is_cut: bool) -> Streamed:
        relayed = self._relay(pieces, is_cut=is_cut)
        require(relayed.status == 200, "a stream that begins well is answered with 200", relayed)
        return self._reader.stream(relayed.body)

    def _hold(self, whole: Said, answer: Answer) -> None:
        expected = said_by(answer, self.cell.dialect, self._subject.model)
        found = without_tokens(self._comparable(whole, answer))
        require(
            found == self._comparable(expected, answer),
            "a whole answer says what the script says",
            f"{found}\n  is not\n{expected}",
        )

    def _comparable(self, said: Said, answer: Answer) -> Said:
        """Leave out what the dialect did not say, and a surface cannot show."""
        if Capability.CALL_IDS not in self.cell.dialect.capabilities:
            said = without_ids(said)

        if answer.usage is None:
            said = replace(said, usage=None)

        if self.cell.surface == "messages":
            said = _as_messages(said)

        return said


def fitting(answer: Answer, framing: Framing) -> Framing:
    """Return a framing in which the end of an answer can be told from a cut."""
    is_silent = any(choice.finish is Finish.NONE for choice in answer.choices)
    return replace(framing, done=True) if is_silent else framing


def _as_messages(said: Said) -> Said:
    """Return the same as Anthropic's form can say it: a refusal is text, reasoning has no count."""
    choices = tuple(
        replace(
            choice,
            text=choice.text + choice.refusal,
            refusal="",
            finish="content_filter"
            if choice.refusal and choice.finish == "stop"
            else choice.finish,
        )
        for choice in said.choices
    )
    usage = None if said.usage is None else replace(said.usage, reasoning=0)
    return replace(said, choices=choices, usage=usage)


def short_answers(cell: Cell) -> tuple[Answer, ...]:
    """Return short scripts that hold everything a cell can say."""
    can = cell.capabilities
    found = [answer_of("m", text_of("Grü🦊\n", 2))]

    if Capability.REASONING in can:
        signature = "c2ln" if Capability.SIGNATURES in can else ""
        thought = Thought(pieces=("hm", " é"), signature=signature)
        redacted = (Redacted(data="ZW5j"),) if Capability.REDACTED in can else ()
        found.append(answer_of("m", thought, *redacted, text_of("ok", 1)))

    if Capability.CALLS in can:
        calls = (
            Call(name="f", pieces=(), id="call_a"),
            Call(name="g", pieces=('{"a":', '"é"}'), id="call_b"),
        )
        found.append(answer_of("m", *calls, finish=Finish.TOOL_CALLS))

    return tuple(
        answer if answer.usage is None else cell.dialect.fitted(answer) for answer in found
    )
