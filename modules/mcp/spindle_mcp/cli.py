"""Serve MCP over standard input and output, for clients that start programs."""

from __future__ import annotations

import io
import logging
import signal
import sys
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Protocol, TypeGuard

import anyio
import httpx2
import typer

from spindle_mcp.bridge.relay import Bridge
from spindle_mcp.bridge.streams import Writer, reading

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_mcp.bridge.streams import Source

_CONNECT_SECONDS = 10.0


class Token(Protocol):
    """A secret the command line hands over."""

    def reveal(self) -> str:
        """Return its text."""
        ...


class Connection(Protocol):
    """Where a gateway is, and the token to show it."""

    @property
    def url(self) -> str:
        """Return its base address."""
        ...

    @property
    def token(self) -> Token:
        """Return the token."""
        ...


class GatewayAccess(Protocol):
    """How a command reaches a gateway: the one that runs, or one of its own."""

    def open(self) -> AbstractAsyncContextManager[Connection]:
        """Give a connection for as long as it is held."""
        ...


class ReachGateway(Protocol):
    """What the command line leaves in the context for commands of modules."""

    def __call__(self, home: Path | None = None) -> GatewayAccess:
        """Return the way to the gateway of a home directory."""
        ...


@dataclass(frozen=True, slots=True)
class _Goal:
    url: str
    token: str | None


def mcp(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(help="A gateway elsewhere; only SPINDLE_TOKEN is shown to it."),
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Slug of a virtual server; everything if not said.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(envvar="SPINDLE_HOME", help="Where state is kept.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="SPINDLE_TOKEN", hidden=True, show_envvar=False)
    ] = None,
) -> None:
    """Serve MCP over standard input and output, for clients that start programs."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    reach: ReachGateway = ctx.obj
    path = "/mcp" if server is None else f"/servers/{server}/mcp"

    @asynccontextmanager
    async def goal() -> AsyncGenerator[_Goal]:
        if url is not None:
            yield _Goal(url.rstrip("/") + path, token)
            return

        async with reach(home).open() as found:
            yield _Goal(found.url.rstrip("/") + path, found.token.reveal())

    try:
        anyio.run(_bridge, goal())
    except Exception as exc:
        for line in _sentences(exc):
            _complain(line)

        raise typer.Exit(1) from exc


async def _bridge(goal: AbstractAsyncContextManager[_Goal]) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(_stop_on_signal, group.cancel_scope)

        async with goal as found:
            await _carry(found)

        group.cancel_scope.cancel()


async def _carry(goal: _Goal) -> None:
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
    }

    if goal.token is not None:
        headers["authorization"] = f"Bearer {goal.token}"

    timeout = httpx2.Timeout(_CONNECT_SECONDS, read=None, pool=None)

    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False) as client,
        reading(_unbuffered(sys.stdin.buffer)) as lines,
    ):
        writer = Writer(sys.stdout.buffer)
        await Bridge(client, goal.url, writer.write, _complain).run(lines)


def _unbuffered(stream: BinaryIO) -> Source:
    raw: object = getattr(stream, "raw", None)
    return raw if isinstance(raw, io.RawIOBase) else stream


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return


def _complain(text: str) -> None:
    sys.stderr.write(f"spindle mcp: {text}\n")


def _sentences(exc: Exception) -> list[str]:
    if _is_group(exc):
        return [line for inner in exc.exceptions for line in _sentences(inner)]

    faults: object = getattr(exc, "faults", None)

    if _are_faults(faults):
        return [str(fault) for fault in faults]

    return [str(exc) or type(exc).__name__]


def _is_group(exc: Exception) -> TypeGuard[ExceptionGroup[Exception]]:
    return isinstance(exc, ExceptionGroup)


def _are_faults(value: object) -> TypeGuard[tuple[object, ...]]:
    return isinstance(value, tuple)
