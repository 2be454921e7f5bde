"""What an upstream says while a request runs, in the form that both eras share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from spindle_spi.invocation import Progress

if TYPE_CHECKING:
    from spindle_mcp.upstream.connections.base import Peer, Request
    from spindle_spi.types import Json

PROGRESS: Final = "notifications/progress"
LOG: Final = "notifications/message"
LEVELS: Final = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)
"""Of log messages, the least first."""


def seconds_left(request: Request) -> float:
    """Return how long a request may go on without a word."""
    if request.deadline is None:
        return request.silence

    return min(request.silence, request.deadline - time.monotonic())


def progress_in(params: Json, token: int) -> Progress | None:
    """Return the progress that a notification tells of, if it is that of `token`."""
    if not isinstance(params, dict) or params.get("progressToken") != token:
        return None

    progress, total = params.get("progress"), params.get("total")
    message = params.get("message")

    if not isinstance(progress, int | float):
        return None

    return Progress(
        progress=float(progress),
        total=float(total) if isinstance(total, int | float) else None,
        message=message if isinstance(message, str) else None,
    )


def is_wanted(level: Json, least: str | None) -> bool:
    """Tell whether somebody who wants messages from `least` on wants one of `level`."""
    if least is None or level not in LEVELS or least not in LEVELS:
        return False

    return LEVELS.index(level) >= LEVELS.index(least)


async def pass_on(peer: Peer, params: Json) -> None:
    """Give a peer a log message, if it wants it."""
    if isinstance(params, dict) and is_wanted(params.get("level"), peer.log_level):
        await peer.log({name: value for name, value in params.items() if name != "_meta"})
