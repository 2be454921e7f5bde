"""How messages travel to an upstream: a pair of streams that somebody opens and closes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from mcp.client._transport import TransportStreams as TransportStreams

MessageStreams: TypeAlias = "AbstractAsyncContextManager[TransportStreams]"
"""Gives what the SDK's sessions read from and write to; entered and left in one task."""

TRANSPORT_FAILED: Final = -32090
"""Our own JSON-RPC code for a message that was not delivered; never leaves the process."""
TOO_LONG: Final = -32091
"""The same for an answer longer than is taken."""
