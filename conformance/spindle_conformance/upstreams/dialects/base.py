"""What every dialect can do: write one scripted answer whole, as a stream, and as a play.

All but `play` and `refuse` are pure functions from an answer to bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Answer, Capability, Finish, needs
from spindle_conformance.upstreams.faults import USUAL_STATUS, Failure, How, Problem
from spindle_conformance.upstreams.framing import PLAIN_FRAMING, dump
from spindle_conformance.upstreams.server import Ending, Play

if TYPE_CHECKING:
    from spindle_conformance.upstreams.framing import Framing
    from spindle_spi.types import Json, JsonObject

_ENDINGS = {
    How.ERROR: Ending.COMPLETE,
    How.CUT: Ending.CUT,
    How.END: Ending.COMPLETE,
    How.HANG: Ending.HANG,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect(ABC):
    """One vendor's way to say an answer. What it does with one it cannot express is undefined."""

    name: str
    capabilities: frozenset[Capability]
    finishes: frozenset[Finish]
    content_type: str = "text/event-stream; charset=utf-8"
    """Of a stream."""
    headers: tuple[tuple[str, str], ...] = ()
    """Of every answer."""
    opening: int = 0
    """How many events come before the first piece of a text."""

    @abstractmethod
    def whole(self, answer: Answer) -> JsonObject:
        """Return the answer as one object."""

    @abstractmethod
    def events(self, answer: Answer) -> tuple[JsonObject, ...]:
        """Return the events of the stream, all of them."""

    @abstractmethod
    def framed(self, events: tuple[JsonObject, ...], framing: Framing) -> bytes:
        """Return events as bytes."""

    @abstractmethod
    def told(self, problem: Problem) -> Json:
        """Return a refusal's body; a text is sent as it is."""

    def told_in_stream(self, problem: Problem, answer: Answer) -> JsonObject:
        """Return the event that tells of a failure in the stream of an answer."""
        del answer
        told = self.told(problem)
        return told if isinstance(told, dict) else {"error": told}

    def status_of(self, problem: Problem) -> int:
        """Return the status of a refusal."""
        return problem.status or USUAL_STATUS[problem.failure]

    def in_manner(self, manner: str) -> Dialect:
        """Return the dialect as a less careful server speaks it; itself where it has no such."""
        del manner
        return self

    def asked_for_usage(self, asked: bool) -> Dialect:
        """Return the dialect for a caller who asked for usage in a stream, or did not."""
        del asked
        return self

    def expresses(self, answer: Answer) -> bool:
        """Tell whether the answer can be said without loss."""
        finishes = {choice.finish for choice in answer.choices}
        return needs(answer) <= self.capabilities and finishes <= self.finishes

    def fitted(self, answer: Answer) -> Answer:
        """Return the answer without the token counts that this dialect does not give."""
        usage = answer.usage

        if usage is None:
            return answer

        counts = {
            name: count if capability in self.capabilities else 0
            for name, capability, count in (
                ("cached", Capability.CACHED_TOKENS, usage.cached),
                ("cache_write", Capability.CACHE_WRITE_TOKENS, usage.cache_write),
                ("reasoning", Capability.REASONING_TOKENS, usage.reasoning),
            )
        }
        return replace(answer, usage=replace(usage, **counts))

    def unary(self, answer: Answer) -> bytes:
        """Return the body of the whole answer, or what its fault leaves of it."""
        fault = answer.fault
        body = dump(self.whole(answer))

        if fault is None:
            return body

        if fault.how is How.ERROR:
            return self.refusal(fault.problem)

        return b"" if fault.after is None else body[: len(body) // 2]

    def stream(self, answer: Answer, framing: Framing = PLAIN_FRAMING) -> bytes:
        """Return the body of the stream, or what its fault leaves of it."""
        fault = answer.fault

        if fault is None:
            return self.framed(self.events(answer), framing)

        if fault.after is None:
            return b""

        events = self.events(answer)[: fault.after]

        if fault.how is How.ERROR:
            events = (*events, self.told_in_stream(fault.problem, answer))

        return self.framed(events, replace(framing, done=False))

    def refusal(self, problem: Problem) -> bytes:
        """Return the body of a refusal."""
        if problem.body is not None:
            return problem.body

        told = self.told(problem)
        return told.encode() if isinstance(told, str) else dump(told)

    def refuse(self, problem: Problem) -> Play:
        """Return what happens to a request that is refused."""
        is_own = problem.body is None
        is_text = is_own and isinstance(self.told(problem), str)
        return Play(
            status=self.status_of(problem),
            body=self.refusal(problem),
            content_type="text/plain; charset=utf-8" if is_text else problem.content_type,
            # What is not in the vendor's form comes from a proxy before it.
            headers=(*(self.headers if is_own else ()), *problem.headers),
        )

    def play(self, answer: Answer, framing: Framing = PLAIN_FRAMING, *, stream: bool) -> Play:
        """Return what happens to a request that is answered so."""
        fault = answer.fault

        if fault is not None and fault.after is None:
            if fault.how is How.ERROR:
                return self.refuse(fault.problem)

            return Play(silent=True, ending=_ENDINGS[fault.how])

        ending = Ending.COMPLETE if fault is None else _ENDINGS[fault.how]

        if not stream:
            return Play(body=self.unary(answer), headers=self.headers, ending=ending)

        return Play(
            body=self.stream(answer, framing),
            headers=self.headers,
            content_type=self.content_type,
            streamed=True,
            ending=ending,
        )


def words(problem: Problem, table: dict[Failure, str]) -> str:
    """Return what a refusal says: its own message, or the vendor's for such a failure."""
    text = table.get(problem.failure, table[Failure.OTHER])
    return problem.message or text.format(key=problem.key, model=problem.model)
