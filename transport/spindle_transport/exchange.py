"""How bytes get to an upstream and back: three small types, whatever carries them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class UpstreamRequest:
    """One HTTP exchange as it shall go out.

    One is made for every call: not frozen, which costs three times as much. Nobody changes it.
    """

    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    method: str = "POST"
    silence: float | None = None
    """Seconds the upstream may stay silent; None means the transport's own bound."""
    deadline: float | None = None
    """When all must be over, on the monotonic clock."""
    is_repeatable: bool = True
    """Whether it may go out again when its connection turns out to have been closed before."""


class UpstreamResponse(ABC):
    """An answer whose status and headers are here and whose body is still to come."""

    __slots__ = ()

    @property
    @abstractmethod
    def status(self) -> int:
        """The HTTP status."""

    @property
    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """The headers; looked up without regard to case."""

    @abstractmethod
    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the body as it arrives, one item per read.

        Raises:
            UpstreamTimeout: The upstream fell silent.
            UpstreamError: The connection broke before the end of the body.
        """

    @abstractmethod
    async def aclose(self, *, patience: float = 0.0) -> None:
        """Let go of the connection; it is closed unless the body was read to its end.

        `patience` is how many seconds the end may take when all that matters has been read.
        """


class Transport(ABC):
    """Carries requests to one provider."""

    @abstractmethod
    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send a request and wait for the status and headers of its answer.

        Raises:
            UpstreamTimeout: No connection or no answer in time.
            UpstreamError: No connection, or it broke.
        """

    @abstractmethod
    async def close(self) -> None:
        """Refuse new exchanges; those in flight end by themselves."""
