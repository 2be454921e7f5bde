"""The requests that run on one legacy session, and what their upstream says or asks meanwhile.

A message does not say which request it belongs to; only progress does. Over streamable HTTP each
request has a stream of its own, and what comes on it is of that request. On a pipe, on the one
stream of HTTP+SSE, and on the stream of a session as a whole there is no telling: what comes there
is for the request that began last. All of them have one client, for only a session of one client
carries messages on.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict, deque
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import INTERNAL_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND

from spindle_mcp.upstream.connections.relay import LOG, PROGRESS, pass_on, progress_in, seconds_left
from spindle_spi.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from contextvars import Context

    from spindle_mcp.upstream.connections.base import Peer, Request
    from spindle_spi.types import Json, JsonObject

_MAX_WAITING: Final = 256
"""Messages kept for a client that is slow in reading them; more are left out."""
_MAX_LINKS: Final = 32
"""Pages of one session whose visits may still be told to be done; the oldest are forgotten."""
COMPLETED: Final = "notifications/elicitation/complete"
_ELICIT: Final = "elicitation/create"
ASKED: Final = frozenset({"elicitation/create", "sampling/createMessage", "roots/list"})


_SENDING: ContextVar[Running | None] = ContextVar("sending", default=None)
"""The request that is being sent; so the transport's task that reads what answers it knows it."""


class Running:
    """One request that runs."""

    def __init__(self, request: Request, token: int, session: RunningRequests) -> None:
        self.request = request
        self.token = token
        self.session = session
        self.scope = anyio.CancelScope()
        self._asking = 0
        self._waiting: deque[tuple[str, Json]] = deque()
        self._has_news = anyio.Event()
        self._is_closed = False

    @property
    def is_told(self) -> bool:
        """Whether there is somebody who wants to be told something."""
        peer = self.request.peer
        return peer is not None and (self.request.wants_progress or peer.log_level is not None)

    def extend(self) -> None:
        """Give the upstream more time; while it waits for a client it has all of it."""
        if self._asking:
            deadline = self.request.deadline
            left = math.inf if deadline is None else seconds_left(self.request)
            self.scope.deadline = anyio.current_time() + left
        else:
            self.scope.deadline = anyio.current_time() + seconds_left(self.request)

    def put(self, method: str, params: Json) -> None:
        """Keep a message for whoever asked, in the order in which they came."""
        if self.is_told and len(self._waiting) < _MAX_WAITING:
            self._waiting.append((method, params))
            self._has_news.set()

    async def deliver(self) -> None:
        """Pass messages on until the request ends."""
        while self._waiting or not self._is_closed:
            if not self._waiting:
                self._has_news = anyio.Event()
                await self._has_news.wait()
                continue

            try:
                await self._pass_on(*self._waiting.popleft())
            except GatewayError:
                # Whoever asked cannot be told any more; the request itself goes on.
                continue

    def close(self) -> None:
        """End `deliver` after what is kept."""
        self._is_closed = True
        self._has_news.set()

    async def _pass_on(self, method: str, params: Json) -> None:
        peer = self.request.peer

        if peer is None:
            return

        if method == LOG:
            await pass_on(peer, params)
        elif (update := progress_in(params, self.token)) is not None:
            await peer.progress(update)

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """Ask whoever asked."""
        peer = self.request.peer

        if peer is None:
            raise MCPError(INVALID_REQUEST, "Nobody can be asked.")

        try:
            with self.patient():
                return await peer.ask(method, params)
        except GatewayError as exc:
            raise MCPError(INTERNAL_ERROR, exc.message) from exc

    @contextmanager
    def patient(self) -> Generator[None]:
        """Give the upstream all of the time meanwhile: it may be waiting for the client."""
        self._asking += 1
        self.extend()

        try:
            yield
        finally:
            self._asking -= 1
            self.extend()

    @contextmanager
    def sending(self) -> Generator[None]:
        """Let what comes on the request's own stream be known as such, where it has one."""
        before = _SENDING.set(self)

        try:
            yield
        finally:
            _SENDING.reset(before)


class RunningRequests:
    """Those of one session, the one that began last at the end."""

    def __init__(self, *, is_own: bool) -> None:
        self._is_own = is_own
        self._tokens = itertools.count(1)
        self._running: dict[int, Running] = {}
        self._links: OrderedDict[str, Peer] = OrderedDict()
        """Who was asked to visit a page, by the id of the link; also when the request is over."""

    def begin(self, request: Request) -> Running:
        """Take up a request."""
        running = Running(request, next(self._tokens), self)
        self._running[running.token] = running
        return running

    def end(self, running: Running) -> None:
        """Let go of a request."""
        running.close()
        del self._running[running.token]

    def hear(self, method: str, params: Mapping[str, Json], came_in: Context | None) -> bool:
        """Take a notification, if it belongs to a request; `came_in` is the transport's context."""
        if method == PROGRESS:
            token = params.get("progressToken")
            running = self._running.get(token) if isinstance(token, int) else None

            if running is not None:
                running.extend()
                running.put(method, dict(params))

            return True

        if method == LOG:
            running = self._meant(came_in)

            if running is not None:
                running.put(method, dict(params))

            return True

        return False

    async def ask(self, method: str, params: JsonObject, came_in: Context | None) -> JsonObject:
        """Answer a request of the upstream; `came_in` as for `hear`.

        Raises:
            MCPError: What the upstream is told instead.
        """
        if method == "ping":
            return {}

        if method not in ASKED:
            raise MCPError(METHOD_NOT_FOUND, "Method not found")

        meant = self._meant(came_in)

        if meant is None:
            raise MCPError(INVALID_REQUEST, "There is no request for which a client can be asked.")

        with ExitStack() as stack:
            if self._sent_in(came_in) is None:
                # Any of them may be the one that waits for the answer.
                for running in tuple(self._running.values()):
                    stack.enter_context(running.patient())

            if method == _ELICIT:
                self.shown([params], meant.request.peer)

            return await meant.ask(method, params)

    def shown(self, links: Sequence[JsonObject], peer: Peer | None) -> None:
        """Note which pages somebody is asked to visit."""
        for link in links:
            name = link.get("elicitationId")

            if self._is_own and peer is not None and isinstance(name, str):
                self._links[name] = peer
                self._links.move_to_end(name)

        while len(self._links) > _MAX_LINKS:
            self._links.popitem(last=False)

    async def completed(self, params: Mapping[str, Json]) -> None:
        """Tell who was asked to visit a page that it is done."""
        name = params.get("elicitationId")
        peer = self._links.pop(name, None) if isinstance(name, str) else None

        if peer is not None and isinstance(name, str):
            await peer.completed(name)

    def _meant(self, came_in: Context | None) -> Running | None:
        """Return the request a message belongs to."""
        if not self._is_own or not self._running:
            return None

        sent = self._sent_in(came_in)

        if sent is None:
            return next(reversed(self._running.values()))

        # What comes late for a request that was given up is for nobody.
        return sent if self._running.get(sent.token) is sent else None

    def _sent_in(self, came_in: Context | None) -> Running | None:
        sent = None if came_in is None else came_in.get(_SENDING)
        return sent if sent is not None and sent.session is self else None
