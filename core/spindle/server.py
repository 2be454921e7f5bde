"""The HTTP server around the host: socket, signals, and an orderly end.

uvicorn with httptools does the bytes; what it may not do (access log, banner, lifespan, WebSocket,
forwarded headers, signal handlers) is switched off here.
"""

from __future__ import annotations

import logging
import math
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import uvicorn

from spindle.ingress.exchange import ConnectionCut
from spindle.ingress.protocol import protocol_over

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from spindle.host import Host

_LAST_SECONDS = 2.0
"""What cancelled requests get to settle and close."""


class PortTaken(Exception):
    """The address cannot be listened on; the message says what to do."""


class Listener:
    """A bound socket, and the URL clients reach it by."""

    def __init__(self, bound: socket.socket, host: str) -> None:
        self.socket = bound
        self.host = host
        self.port: int = bound.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}"

    def close(self) -> None:
        """Give the address back; the server did so already if it was reached."""
        self.socket.close()


def bind(host: str, port: int) -> Listener:
    """Bind an address; port 0 lets the system choose. Clients are refused before `serve`.

    Raises:
        PortTaken: Somebody else listens there, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as exc:
        raise PortTaken(f"The host {host!r} cannot be resolved: {exc.strerror}.") from exc

    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    try:
        bound.bind(address)
    except OSError as exc:
        bound.close()
        raise _taken(host, port, exc) from exc

    bound.setblocking(False)
    return Listener(bound, host)


class Stop:
    """The wish to end: asked for once, it is orderly; asked for twice, it is quick."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.insisted = anyio.Event()

    def ask(self) -> None:
        """Ask for the end."""
        if self.asked.is_set():
            self.insisted.set()

        self.asked.set()


async def watch_signals(stop: Stop) -> None:
    """Turn SIGINT and SIGTERM into the wish to end, until cancelled."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            stop.ask()


async def watch_hangups(reload: Callable[[], Awaitable[None]]) -> None:
    """Call `reload` for every SIGHUP, one after the other, until cancelled."""
    number = getattr(signal, "SIGHUP", None)

    # Windows has none.
    if number is not None:
        with anyio.open_signal_receiver(number) as signals:
            async for _ in signals:
                await reload()


async def run_host(
    host: Host, listener: Listener, stop: Stop, announce: Callable[[], None]
) -> None:
    """Bring the host up, call `announce` when it accepts requests, serve until `stop`.

    Asked to stop before that, it gives the start up.
    """
    is_serving = anyio.Event()

    def announce_serving() -> None:
        is_serving.set()
        announce()

    async with anyio.create_task_group() as group:
        starting = anyio.CancelScope()

        async def give_up_start() -> None:
            await stop.asked.wait()

            if not is_serving.is_set():
                starting.cancel()

        group.start_soon(give_up_start)

        with starting:
            await host.run(lambda: _serve(host, listener, stop, announce_serving))

        group.cancel_scope.cancel()


async def _serve(host: Host, listener: Listener, stop: Stop, announce: Callable[[], None]) -> None:
    _quieten()
    seconds = host.options.drain_seconds
    server = _Server(
        uvicorn.Config(
            host.ingress,
            http=protocol_over(host.options.door),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=math.ceil(host.options.keep_alive_seconds),
            timeout_graceful_shutdown=math.ceil(seconds),
        )
    )
    ended = anyio.Event()

    async def run_server() -> None:
        try:
            await server.serve([listener.socket])
        except OSError as exc:
            raise _taken(listener.host, listener.port, exc) from exc
        finally:
            ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(run_server)
        await server.is_up.wait()
        announce()
        await stop.asked.wait()
        server.should_exit = True
        await _drain(host, server, stop, ended)


async def _drain(host: Host, server: _Server, stop: Stop, ended: anyio.Event) -> None:
    """Wait for what is in flight; not any longer when somebody insists on the end."""
    async with anyio.create_task_group() as group:

        async def hurry() -> None:
            await stop.insisted.wait()
            server.force_exit = True

            for task in tuple(server.server_state.tasks):
                task.cancel()

            group.cancel_scope.cancel()

        group.start_soon(hurry)
        await host.drain(host.options.drain_seconds)
        await ended.wait()
        group.cancel_scope.cancel()

    with anyio.move_on_after(_LAST_SECONDS):
        await host.ingress.drain()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and with an event for the moment it accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = anyio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to us."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets)
        self.is_up.set()


class _Expected(logging.Filter):
    """Keeps the ends we make ourselves out of the log: a cut answer, a cancelled request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be written."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, (ConnectionCut, anyio.get_cancelled_exc_class()))


def _quieten() -> None:
    logger = logging.getLogger("uvicorn.error")
    # Below errors it reports what clients do wrong, one line each: nothing an operator can use.
    logger.setLevel(logging.ERROR)

    if not any(isinstance(known, _Expected) for known in logger.filters):
        logger.addFilter(_Expected())


def _taken(host: str, port: int, exc: OSError) -> PortTaken:
    return PortTaken(
        f"Port {port} on {host} cannot be used: {(exc.strerror or str(exc)).lower()}. "
        "Stop what uses it, or choose another with --port (0 picks a free one)."
    )
