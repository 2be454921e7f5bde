"""The program a client starts: from its standard input and output to a gateway's endpoint."""

from __future__ import annotations

import io
import logging
import signal
import sys
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeGuard

import anyio
import httpx2

from spindle_mcp.bridge.relay import Bridge
from spindle_mcp.bridge.streams import Writer, reading

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from spindle_mcp.access import GatewayAccess
    from spindle_mcp.bridge.streams import Source

_CONNECT_SECONDS = 10.0
_MAX_TOKEN_BYTES = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which gateway is meant, and by whose token."""

    url: str | None
    """A gateway elsewhere; None is the one that is reached from here."""
    server: str | None
    token: str | None
    """What is shown to a gateway elsewhere."""
    token_file: Path | None
    """Holds the token for either, and goes before it."""


@dataclass(frozen=True, slots=True)
class _Goal:
    url: str
    token: str | None


def run(reach: Callable[[], GatewayAccess], wish: Wish) -> bool:
    """Carry messages until standard input ends; tell whether it could be done, and say why not.

    `reach` is called for a gateway that is reached from here: one elsewhere needs nothing of it.
    """
    logging.getLogger("httpx2").setLevel(logging.WARNING)

    try:
        anyio.run(_bridge, _goal(reach, wish))
    except Exception as exc:  # noqa: BLE001 - the edge of this process
        for line in _sentences(exc):
            complain(line)

        return False

    return True


@asynccontextmanager
async def _goal(reach: Callable[[], GatewayAccess], wish: Wish) -> AsyncGenerator[_Goal]:
    path = "/mcp" if wish.server is None else f"/servers/{wish.server}/mcp"
    told = None if wish.token_file is None else _token_in(wish.token_file)

    if wish.url is not None:
        yield _Goal(wish.url.rstrip("/") + path, told or wish.token)
        return

    access = reach()
    url = None if told is None else access.find()

    if url is not None:
        yield _Goal(url.rstrip("/") + path, told)
        return

    async with access.open() as found:
        yield _Goal(found.url.rstrip("/") + path, told or found.token.reveal())


def complain(text: str) -> None:
    """Say something where no message of the protocol goes."""
    sys.stderr.write(f"spindle mcp: {text}\n")


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
        await Bridge(client, goal.url, writer.write, complain).run(lines)


def _unbuffered(stream: BinaryIO) -> Source:
    raw: object = getattr(stream, "raw", None)
    return raw if isinstance(raw, io.RawIOBase) else stream


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return


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
