"""A streamed answer on its way from its owner to whoever asked: bounded, counted, settled once.

A class, not a generator: closing a generator that never started does nothing at all.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from spindle_spi.admission import Outcome, Status, TokenUsage
from spindle_spi.errors import GatewayError, Internal, UpstreamTimeout

if TYPE_CHECKING:
    from spindle_spi.invocation import StreamEvent, Streaming
    from spindle_spi.types import JsonObject

Settle = Callable[[Outcome], Awaitable[None]]


class SettledStream(AsyncIterator["StreamEvent"]):
    """The owner's events; whatever ends them settles the permit, even an end before the start."""

    def __init__(
        self, source: Streaming, settle: Settle, *, started: float, deadline: float | None
    ) -> None:
        self._source = source
        self._settle = settle
        self._started = started
        self._deadline = deadline
        self._usage: TokenUsage | None = None
        self._first_byte_ms: float | None = None
        self._is_ended = False

    async def __anext__(self) -> StreamEvent:
        if self._is_ended:
            raise StopAsyncIteration

        try:
            event = await self._next()
        except StopAsyncIteration:
            await self._end(Status.OK)
            raise
        except BaseException as exc:
            await self._end(self._status(exc), _code(exc))
            raise

        if self._first_byte_ms is None:
            self._first_byte_ms = self._elapsed()

        self._usage = _usage_in(event.payload) or self._usage
        return event

    async def aclose(self) -> None:
        """Tell the owner that nobody reads on, and settle. Idempotent."""
        await self._end(Status.CANCELLED if self._first_byte_ms is None else Status.PARTIAL)

    async def _next(self) -> StreamEvent:
        if self._deadline is None:
            return await anext(self._source.events)

        with anyio.move_on_after(self._deadline - time.monotonic()) as scope:
            return await anext(self._source.events)

        assert scope.cancelled_caught
        raise UpstreamTimeout("The answer did not end before its deadline.")

    async def _end(self, status: Status, error_code: str | None = None) -> None:
        if self._is_ended:
            return

        self._is_ended = True
        outcome = Outcome(
            status=status,
            stream=True,
            usage=self._usage,
            total_ms=self._elapsed(),
            first_byte_ms=self._first_byte_ms,
            error_code=error_code,
        )

        with anyio.CancelScope(shield=True):
            try:
                await self._source.close()
            finally:
                await self._settle(outcome)

    def _status(self, exc: BaseException) -> Status:
        if self._first_byte_ms is not None:
            return Status.PARTIAL

        is_cancelled = isinstance(exc, anyio.get_cancelled_exc_class())
        return Status.CANCELLED if is_cancelled else Status.ERROR

    def _elapsed(self) -> float:
        return (time.perf_counter() - self._started) * 1000


def _code(exc: BaseException) -> str | None:
    if isinstance(exc, GatewayError):
        return exc.code

    return Internal.default_code if isinstance(exc, Exception) else None


def _usage_in(payload: JsonObject) -> TokenUsage | None:
    usage = payload.get("usage")

    if not isinstance(usage, dict):
        return None

    return TokenUsage(
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
    )


def _count(usage: JsonObject, name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
