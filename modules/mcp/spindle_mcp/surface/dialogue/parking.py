"""Calls that go on while their client is away: how an older upstream asks a client of today.

Such an upstream asks in the middle of a call; the client hears of it as a result that asks for
input, and comes again with the answer. In between the call is parked here, in this process: the
state the client holds names it. It is never run a second time.
"""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import INVALID_REQUEST

from spindle_mcp.capabilities import required_for
from spindle_mcp.surface.dialogue.peers import WrappedPeer
from spindle_mcp.surface.dialogue.questions import check_capabilities, for_round
from spindle_mcp.surface.dialogue.rounds import MAX_QUESTIONS
from spindle_spi.errors import FailedPrecondition, Origin
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    from spindle_mcp.upstream.connections.base import Peer
    from spindle_spi.invocation import InputRequired, Progress

    Outcome: TypeAlias = "JsonObject | InputRequired | Parked"
    Work = Callable[[Peer], Awaitable[JsonObject | InputRequired]]

_KEY: Final = "parked"
_SHARE: Final = 8
"""One caller may park so much less than all together."""


def parked_in(state: JsonObject | None) -> str | None:
    """Return the parked call that a client's state names."""
    named = None if state is None else state.get(_KEY)
    return named if isinstance(named, str) else None


class _Question:
    """One thing the upstream wants to know of the client."""

    def __init__(self, method: str, params: JsonObject) -> None:
        self.asked: JsonObject = {"method": method, "params": params}
        self.answer: JsonObject | None = None
        self.is_answered = anyio.Event()


class ParkedPeer(WrappedPeer):
    """The client of a call that may be parked: another request of it each time, or none."""

    def __init__(self, peer: Peer, parking: Parking) -> None:
        super().__init__(peer)
        self._parking = parking
        self._keys = itertools.count(1)
        self.is_here = True
        self.scope = anyio.CancelScope()
        """Of the call itself."""
        self.is_over = anyio.Event()
        self.questions: dict[str, _Question] = {}
        self.news = anyio.Event()

    def come(self, peer: Peer, responses: JsonObject) -> None:
        """Take the client's next request, with its answers."""
        self._peer = peer
        self.is_here = True

        for key, answer in responses.items():
            question = self.questions.get(key)

            if question is not None and isinstance(answer, dict):
                question.answer = answer
                question.is_answered.set()

    @property
    def open_questions(self) -> JsonObject:
        """What the client has still to answer."""
        return {
            key: question.asked
            for key, question in self.questions.items()
            if not question.is_answered.is_set()
        }

    @property
    def can_be_asked(self) -> bool:
        """See `Peer`."""
        return True

    async def progress(self, update: Progress) -> None:
        """See `Peer`."""
        if self.is_here:
            await self._peer.progress(update)

    async def log(self, params: JsonObject) -> None:
        """See `Peer`."""
        if self.is_here:
            await self._peer.log(params)

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """See `Peer`."""
        required = required_for(method, params)

        if required is None or len(self.questions) >= MAX_QUESTIONS:
            raise MCPError(INVALID_REQUEST, f"The client cannot be asked: {method}")

        check_capabilities(self.capabilities, required)
        self._parking.check_room(self)
        key, question = f"q{next(self._keys)}", _Question(method, for_round(method, params))
        self.questions[key] = question
        self.news.set()

        try:
            with anyio.move_on_after(self._parking.seconds):
                await question.is_answered.wait()
                return question.answer or {}
        finally:
            del self.questions[key]

        self.scope.cancel()
        # The upstream hears that the call is cancelled before it hears that nobody answered.
        await self.is_over.wait()
        raise MCPError(INVALID_REQUEST, "The client did not answer in time.")


class _Call:
    """One call, in its own task."""

    def __init__(self, owner: str, peer: ParkedPeer) -> None:
        self.id = secrets.token_urlsafe(24)
        self.owner = owner
        self.peer = peer
        self.outcome: JsonObject | InputRequired | None = None
        self.failure: Exception | None = None
        self.is_fetched = anyio.Event()
        """Set when its client has what became of it."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A call that waits for its client."""

    call_id: str
    questions: JsonObject

    @property
    def state(self) -> JsonObject:
        """What the client's state says of it."""
        return {_KEY: self.call_id}


class Parking:
    """The calls of this process that may be parked. `run` holds their tasks."""

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self.seconds = seconds
        """How long a client may take to answer, and to fetch what became of its call."""
        self._calls: dict[str, _Call] = {}
        self._group: TaskGroup | None = None

    @property
    def waiting(self) -> int:
        """How many calls wait for their clients."""
        return sum(bool(call.peer.questions) for call in self._calls.values())

    async def run(self) -> None:
        """Hold the tasks of calls until cancelled."""
        async with anyio.create_task_group() as group:
            self._group = group
            await anyio.sleep_forever()

    async def begin(self, owner: str, peer: Peer, work: Work) -> Outcome:
        """Carry out a call until it has a result, or asks for input.

        Raises:
            GatewayError: What the call raised.
        """
        if self._group is None:
            raise FailedPrecondition("Calls are not carried out now.", code="mcp.down")

        call = _Call(owner, ParkedPeer(peer, self))
        self._calls[call.id] = call
        self._group.start_soon(self._carry_out, call, work)
        return await self._step(call)

    async def resume(self, call_id: str, owner: str, peer: Peer, responses: JsonObject) -> Outcome:
        """Go on with a parked call.

        Raises:
            GatewayError: It is not here, or what the call raised.
        """
        call = self._calls.get(call_id)

        # Somebody else's call is absent.
        if call is None or call.owner != owner:
            raise FailedPrecondition(
                "The call that asked for this input is not here any more: it ended, it waited too "
                "long, or another process holds it. It was not run again; call anew if it may be "
                "repeated.",
                code="mcp.call.lost",
                origin=Origin.CORE,
            )

        if call.peer.is_here:
            raise FailedPrecondition(
                "This call is being resumed by another request.", code="mcp.call.resumed"
            )

        call.peer.come(peer, responses)
        return await self._step(call)

    def check_room(self, peer: ParkedPeer) -> None:
        """Check that one more call may wait for its client.

        Raises:
            MCPError: There are too many.
        """
        waiting = [call for call in self._calls.values() if call.peer.questions]
        own = next((call for call in self._calls.values() if call.peer is peer), None)
        theirs = [call for call in waiting if own is not None and call.owner == own.owner]

        if len(waiting) >= self._most or len(theirs) >= max(1, self._most // _SHARE):
            raise MCPError(INVALID_REQUEST, "Too many calls wait for an answer of a client.")

    async def _step(self, call: _Call) -> Outcome:
        """Wait until the call has a result, or a question that is not answered."""
        try:
            while not call.peer.is_over.is_set():
                if call.peer.open_questions:
                    call.peer.is_here = False
                    return Parked(call.id, call.peer.open_questions)

                call.peer.news = anyio.Event()
                await call.peer.news.wait()
        except BaseException:
            # The client left in the middle of a round: so it cancels.
            call.peer.scope.cancel()
            raise

        call.is_fetched.set()

        if call.failure is not None:
            raise call.failure

        if call.outcome is None:
            raise FailedPrecondition("The call was cancelled.", code="mcp.call.cancelled")

        return call.outcome

    async def _carry_out(self, call: _Call, work: Work) -> None:
        try:
            with call.peer.scope:
                call.outcome = await work(call.peer)
        except Exception as exc:  # noqa: BLE001 - raised where the call is waited for
            call.failure = exc
        finally:
            call.peer.is_over.set()
            call.peer.news.set()

            if call.peer.is_here or call.peer.scope.cancel_called:
                del self._calls[call.id]

        if call.id in self._calls:
            await self._keep(call)

    async def _keep(self, call: _Call) -> None:
        """Keep what became of a call while its client was away."""
        try:
            with anyio.move_on_after(self.seconds):
                await call.is_fetched.wait()
        finally:
            del self._calls[call.id]
