"""Requests to an upstream of the current protocol over a pipe, told apart by their ids.

Time limits are asyncio's, because whoever hears a request's notifications extends those.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Final

import anyio
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types.jsonrpc import METHOD_NOT_FOUND

from spindle_mcp.text import encode
from spindle_mcp.upstream.connections.relay import LOG, PROGRESS
from spindle_mcp.upstream.faults import too_slow
from spindle_mcp.upstream.http.exchange import encoded, result_in
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_mcp.upstream.connections.base import Endpoint
    from spindle_mcp.upstream.http.exchange import Hearing
    from spindle_mcp.upstream.programs.pipe import Pipe
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject

_MAX_UNHEARD: Final = 256
"""Notifications kept for who is slow in hearing them; more are left out."""
_GIVE_UP_SECONDS: Final = 1.0
CANCELLED: Final = "notifications/cancelled"


class PipedExchanges:
    """See `Exchanges`. `run` reads the answers."""

    def __init__(self, endpoint: Endpoint, pipe: Pipe) -> None:
        self._gateway = endpoint.gateway
        self._pipe = pipe
        self._ids = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}

    async def run(self) -> None:
        """Hand answers to who waits for them; at the end of the program, its failure."""
        async for message in self._pipe.messages:
            await self._take(message)

        for waiting in self._waiting.values():
            waiting.end(self._pipe.failure)

        self._pipe.is_told.set()

    def take_credential(self, credential: Secret) -> bool:
        """See `Exchanges`: a program was given what it needs when it was started."""
        del credential
        return False

    def next_id(self) -> int:
        """See `Exchanges`."""
        return next(self._ids)

    async def send(  # noqa: PLR0913 - one parameter for each thing that may be said
        self,
        request_id: int,
        method: str,
        params: JsonObject,
        *,
        seconds: float | None,
        headers: Mapping[str, str] | None = None,
        hearing: Hearing | None = None,
        caller: AuthenticatedContext | None = None,
    ) -> JsonObject:
        """See `Exchanges`."""
        del headers
        body = encoded({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        waiting = self._waiting[request_id] = _Waiting(hearing, is_listening=seconds is None)

        try:
            async with asyncio.timeout(seconds) as clock:
                if hearing is not None:
                    hearing.limit = _Clock(clock)

                await self._pipe.write(body)
                answer = await waiting.answer(request_id)
        except TimeoutError as exc:
            raise too_slow(self._gateway) from exc
        finally:
            waiting.close()
            del self._waiting[request_id]

            if not waiting.is_over:
                await self._give_up(request_id)

        return {} if answer is None else result_in(self._gateway, answer)

    async def _give_up(self, request_id: int) -> None:
        note: JsonObject = {
            "jsonrpc": "2.0",
            "method": CANCELLED,
            "params": {"requestId": request_id},
        }

        with anyio.move_on_after(_GIVE_UP_SECONDS, shield=True):
            try:
                await self._pipe.write(encode(note))
            except UpstreamError:
                return

    async def _take(self, message: JsonObject) -> None:
        method, identity = message.get("method"), message.get("id")

        if not isinstance(method, str):
            waiting = self._waiting.get(identity) if isinstance(identity, int) else None

            # An answer to nothing that waits came too late.
            if waiting is not None:
                waiting.end(message)
        elif identity is not None:
            await self._refuse(identity)
        else:
            params = message.get("params")
            said = params if isinstance(params, dict) else {}

            if method == CANCELLED:
                self._end_listening(said)
                return

            for waiting in self._hearers(method, said):
                waiting.put(method, params)

    def _end_listening(self, params: JsonObject) -> None:
        """End a subscription that the upstream ends; nothing else is its to cancel."""
        for waiting in self._named(params.get("requestId")):
            if waiting.is_listening:
                waiting.end({"result": {}})

    def _hearers(self, method: str, params: JsonObject) -> list[_Waiting]:
        """Return the requests a notification belongs to."""
        if method == PROGRESS:
            return self._named(params.get("progressToken"))

        if method == LOG:
            # The protocol has no word for whose it is. On a pipe progress names a token, and what
            # is listened to the id of its request; log messages name nothing. With several
            # requests running one would reach a stranger, so it is left out.
            calls = [waiting for waiting in self._waiting.values() if not waiting.is_listening]
            return calls if len(calls) == 1 else []

        meta = params.get("_meta")
        subscription = meta.get(SUBSCRIPTION_ID_META_KEY) if isinstance(meta, dict) else None
        return self._named(subscription) or [
            waiting for waiting in self._waiting.values() if waiting.is_listening
        ]

    def _named(self, identity: Json) -> list[_Waiting]:
        waiting = self._waiting.get(identity) if isinstance(identity, int) else None
        return [] if waiting is None else [waiting]

    async def _refuse(self, identity: Json) -> None:
        """Answer a request, which servers of this protocol do not make."""
        error: JsonObject = {"code": METHOD_NOT_FOUND, "message": "Method not found"}

        try:
            await self._pipe.write(encode({"jsonrpc": "2.0", "id": identity, "error": error}))
        except UpstreamError:
            return


class _Clock:
    """See `TimeLimit`."""

    def __init__(self, clock: asyncio.Timeout) -> None:
        self._clock = clock

    def extend(self, seconds: float) -> None:
        """See `TimeLimit`."""
        self._clock.reschedule(asyncio.get_running_loop().time() + seconds)


class _Waiting:
    """One request without an answer yet."""

    def __init__(self, hearing: Hearing | None, *, is_listening: bool) -> None:
        self._hearing = hearing
        self.is_listening = is_listening
        self.is_over = False
        """Whether the upstream is done with it."""
        self._outcome: JsonObject | UpstreamError | None = None
        self._put, self._take = anyio.create_memory_object_stream[tuple[str, "Json"]](_MAX_UNHEARD)

    def put(self, method: str, params: Json) -> None:
        """Keep a notification."""
        try:
            self._put.send_nowait((method, params))
        except (anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
            return

    def end(self, outcome: JsonObject | UpstreamError) -> None:
        """Take the answer, or the reason why there is none."""
        self._outcome = outcome
        self.is_over = True
        self._put.close()

    def close(self) -> None:
        """Let go of what is kept."""
        self._put.close()
        self._take.close()

    async def answer(self, request_id: int) -> JsonObject | None:
        """Hear what is said until the answer comes; None when whoever hears has heard enough.

        Raises:
            UpstreamError: There will be none.
        """
        async for method, params in self._take:
            if self._hearing is not None and await self._hearing.hear(method, params, request_id):
                return None

        if isinstance(self._outcome, UpstreamError):
            raise self._outcome

        return self._outcome
