"""One admitted call on its way: answered once, settled once, whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from spindle_llm.relay.client import ClientWatch, EventSink
from spindle_llm.relay.usage import estimated_usage
from spindle_llm.surfaces.errors import id_header, send_error, send_json
from spindle_spi.admission import Permit, Status
from spindle_spi.errors import GatewayError, Internal, NotFound, PluginDenied
from spindle_spi.observability import Level

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_llm.relay.journal import Journal
    from spindle_llm.runtime import Runtime
    from spindle_llm.surfaces.errors import Header
    from spindle_llm.surfaces.form import Asked, ChatForm
    from spindle_spi.ingress import Call
    from spindle_spi.types import Receive, Send

_SETTLE_SECONDS = 5.0
"""How long a cancelled call may take to settle."""

_CLIENT_LEFT = "client_closed_request"
_STREAM_HEADERS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class Exchange:
    """A call with its permit, its client and its journal."""

    __slots__ = (
        "_is_settled",
        "_send",
        "call",
        "form",
        "journal",
        "on_settled",
        "permit",
        "request",
        "runtime",
        "sink",
        "watch",
    )

    def __init__(  # noqa: PLR0913 - the parts of one call, put together in one place
        self,
        runtime: Runtime,
        call: Call,
        permit: Permit,
        request: Asked,
        form: ChatForm,
        journal: Journal,
        wire: tuple[Receive, Send],
    ) -> None:
        receive, send = wire
        self.runtime = runtime
        self.call = call
        self.permit = permit
        self.request = request
        self.form = form
        self.journal = journal
        runtime.routes.follow(permit, journal)
        self.watch = ClientWatch(receive, runtime.patience)
        self.sink = EventSink(
            send, keep_alive=runtime.settings.keep_alive_seconds, refused=self.watch.give_up
        )
        self._send = send
        self._is_settled = False
        self.on_settled: Callable[[], Awaitable[None]] | None = None
        """Awaited once the core has taken the answer, before its end goes out."""

    async def answer(self, body: bytes) -> None:
        """Settle, then send a whole answer: the core may still refuse it."""
        self.journal.response_bytes = len(body)
        await self._settle_ok()
        await send_json(
            self._send, body, self.call.request_id, self._headers(), shape=self.form.shape
        )

    async def write(self, events: bytes) -> None:
        """Send events of a stream; the first make the status 200."""
        if not self.sink.is_open:
            await self._open_sink()

        self.journal.response_bytes += len(events)
        await self.sink.write(events)

    async def end(self, events: bytes) -> None:
        """Settle, then send the last events of a stream."""
        self.journal.response_bytes += len(events)
        await self._settle_ok()

        if not self.sink.is_open:
            await self._open_sink()

        await self.sink.finish(events)

    async def fail(self, error: GatewayError) -> None:
        """Settle as failed, and tell the client in the form that is still possible."""
        self.watch.stop()
        self.journal.error_code = error.code

        if isinstance(error, PluginDenied):
            status = Status.DENIED
        else:
            status = Status.PARTIAL if self.sink.is_open else Status.ERROR

        await self._settle_quietly(status)

        if self.sink.is_open:
            await self.sink.finish(self.form.error_event(error, self.call.request_id))
        else:
            await send_error(
                self._send,
                error,
                self.call.request_id,
                [*self.journal.headers, self._route_header()],
                shape=self.form.shape,
            )

    async def give_up(self, *, error_code: str = _CLIENT_LEFT) -> None:
        """Settle a call whose client is gone, or whose task is being ended."""
        self.watch.stop()
        self.sink.close()
        self.journal.error_code = error_code

        if self.journal.usage is None:
            self.journal.usage = estimated_usage(request_bytes=len(self.request.body))

        with anyio.move_on_after(_SETTLE_SECONDS, shield=True):
            await self._settle_quietly(Status.PARTIAL if self.sink.is_open else Status.CANCELLED)

    async def _open_sink(self) -> None:
        request_id = id_header(self.form.shape, self.call.request_id)
        await self.sink.open([*_STREAM_HEADERS, request_id, *self._headers()])

    async def _settle_ok(self) -> None:
        self.watch.stop()
        self._is_settled = True

        try:
            await self.runtime.services.catalog.settle(
                self.permit.id, self.journal.outcome(Status.OK)
            )
        except NotFound as exc:
            raise Internal("The core no longer knows this call.", code="llm.call.lost") from exc

        if self.on_settled is not None:
            await self.on_settled()

    async def _settle_quietly(self, status: Status) -> None:
        """Settle a call that has failed already: a second failure is for the log alone."""
        if self._is_settled:
            return

        self._is_settled = True

        try:
            await self.runtime.services.catalog.settle(self.permit.id, self.journal.outcome(status))
        except GatewayError as exc:
            self.runtime.services.observability.log(
                Level.WARNING, "llm.settle_failed", {"code": exc.code, "permit": self.permit.id}
            )

    def _route_header(self) -> Header:
        return b"x-spindle-route", self.permit.id.encode("latin-1", "replace")

    def _headers(self) -> list[Header]:
        headers = [*self.journal.headers, self._route_header()]

        if self.form.dropped or self.journal.dropped:
            lost = (*self.form.dropped, *self.journal.dropped)
            dropped = ", ".join(dict.fromkeys(lost))
            headers.append((b"x-spindle-dropped-params", dropped.encode("latin-1", "replace")))

        for name, _ in self.journal.headers:
            if name == b"openai-processing-ms":
                return headers

        headers.append((b"openai-processing-ms", b"%d" % self.journal.elapsed_ms()))
        return headers
