"""What every kind of upstream connection offers to its actor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import anyio

from spindle_mcp.upstream.credentials.source import HeaderSource
from spindle_spi.context import AuthenticatedContext
from spindle_spi.invocation import ProgressSink
from spindle_spi.secret import Secret
from spindle_spi.types import JsonObject

CLIENT_NAME = "spindle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an upstream is and within which bounds it is used."""

    gateway: str
    url: str
    version: str
    """Our own version, as upstreams are told it."""
    credential: Secret | None = None
    headers: HeaderSource | None = None
    """Asked before every request for what else proves us."""
    caller: AuthenticatedContext | None = None
    """Whose session it is, where each person has their own; None is the gateway's."""
    address: str | None = None
    """The address to connect to when somebody has judged the host's; it is not resolved again."""
    connect_seconds: float = 10.0
    max_connections: int = 100
    max_result_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of an upstream's tool."""

    name: str
    """As the upstream calls it."""
    arguments: JsonObject
    silence: float
    """Seconds the upstream may go without an answer or a word on its progress."""
    deadline: float | None = None
    """On the monotonic clock."""
    progress: ProgressSink | None = None
    traceparent: str | None = None
    """W3C trace context to hand on in `_meta`."""
    caller: AuthenticatedContext | None = None
    """For whom, where the upstream is shown that."""


class Upstream(ABC):
    """An open connection. Opened and closed in its actor's task, used from any other."""

    era: str

    @abstractmethod
    async def list_tools(self) -> list[JsonObject]:
        """Return every tool, all pages.

        Raises:
            UpstreamError: It could not be asked, or answered badly.
        """

    @abstractmethod
    async def call_tool(self, call: ToolCall) -> JsonObject:
        """Call a tool; returns its result as the upstream wrote it. Cancelling cancels it there.

        Raises:
            GatewayError: The upstream could not be reached, refused the call, or was too slow.
        """

    def take_credential(self, credential: Secret) -> bool:
        """Use another credential from now on; False when that takes another connection."""
        del credential
        return False

    async def changed(self) -> None:
        """Return when the upstream says that its tools are not what they were.

        Raises:
            UpstreamError: The connection is gone.
        """
        await anyio.sleep_forever()
