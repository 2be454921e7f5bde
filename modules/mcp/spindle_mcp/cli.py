"""Serve MCP over standard input and output, for clients that start programs."""

from __future__ import annotations

import io
import logging
import signal
import sys
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TypeGuard

import anyio
import httpx2
import typer

from spindle_mcp.bridge.relay import Bridge
from spindle_mcp.bridge.streams import Writer, reading
from spindle_mcp.clients.cli import config

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_mcp.access import ReachGateway
    from spindle_mcp.bridge.streams import Source

_CONNECT_SECONDS = 10.0
_MAX_TOKEN_BYTES = 16_384

mcp = typer.Typer(add_completion=False, invoke_without_command=True)
mcp.command("config")(config)


@dataclass(frozen=True, slots=True)
class _Goal:
    url: str
    token: str | None


@mcp.callback()
def serve(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(help="A gateway elsewhere; no token but the one that is said is shown to it."),
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="Slug of a virtual server; everything if not said.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File that holds the token; SPINDLE_TOKEN if not said.")
    ] = None,
    home: Annotated[
        Path | None, typer.Option(envvar="SPINDLE_HOME", help="Where state is kept.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="SPINDLE_TOKEN", hidden=True, show_envvar=False)
    ] = None,
) -> None:
    """Serve MCP over standard input and output, for clients that start programs.

    `spindle mcp config` prints what such a client, or any other, needs to reach the gateway.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options(ctx)
        return

    logging.getLogger("httpx2").setLevel(logging.WARNING)
    reach: ReachGateway = ctx.obj
    path = "/mcp" if server is None else f"/servers/{server}/mcp"

    @asynccontextmanager
    async def goal() -> AsyncGenerator[_Goal]:
        told = None if token_file is None else _token_in(token_file)

        if url is not None:
            yield _Goal(url.rstrip("/") + path, told or token)
            return

        async with reach(home).open() as found:
            yield _Goal(found.url.rstrip("/") + path, told or found.token.reveal())

    try:
        anyio.run(_bridge, goal())
    except Exception as exc:
        for line in _sentences(exc):
            _complain(line)

        raise typer.Exit(1) from exc


def _refuse_options(ctx: typer.Context) -> None:
    """Let no option stand before a command that has the same one and would not see it."""
    said = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if (source := ctx.get_parameter_source(str(parameter.name))) is not None
        and source.name == "COMMANDLINE"
    ]

    if said:
        _complain(f"{', '.join(said)}: say it after {ctx.invoked_subcommand}.")
        raise typer.Exit(2)


def _token_in(path: Path) -> str:
    """Return the token a file holds.

    Raises:
        ValueError: It cannot be read, or there is no token in it.
    """
    try:
        with path.expanduser().open("rb") as file:
            text = file.read(_MAX_TOKEN_BYTES).decode("ascii").strip()
    except OSError as exc:
        raise ValueError(f"The token cannot be read from {path}: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise ValueError(f"There is no token in {path}: it is no text.") from exc

    if not text or not text.isprintable() or " " in text:
        raise ValueError(f"There is no token in {path}: it has to hold a token, and nothing else.")

    return text


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
