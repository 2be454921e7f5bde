"""When and from where each token was used last: noted in memory, written once a minute."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import anyio
import structlog
from sqlalchemy.exc import SQLAlchemyError

from spindle_spi.errors import GatewayError

if TYPE_CHECKING:
    from spindle.store import Store

_LOG = structlog.get_logger("spindle.tokens")
_SECONDS: Final = 60.0
_MOST: Final = 10_000
"""Tokens noted between two writes; of more, the rest is noted after the next one."""


class TokenUses:
    """Notes uses; `run` writes them, at most one row a minute for each token."""

    def __init__(self, store: Store, *, seconds: float = _SECONDS) -> None:
        self._store = store
        self._seconds = seconds
        self._pending: dict[str, tuple[float, str | None]] = {}

    def note(self, token_id: str, client_ip: str | None) -> None:
        """Remember that a token was used now. Costs a dictionary entry."""
        if token_id in self._pending or len(self._pending) < _MOST:
            self._pending[token_id] = (time.time(), client_ip)

    def pending(self) -> int:
        """Return how many tokens' uses wait to be written."""
        return len(self._pending)

    async def flush(self) -> None:
        """Write what is noted; when the store is away it is lost: it is no record of anything."""
        uses, self._pending = self._pending, {}

        if not uses:
            return

        try:
            await self._store.tokens.note_uses(uses)
        except (OSError, SQLAlchemyError, GatewayError) as exc:
            _LOG.warning("last use of tokens not written", kind=type(exc).__name__)

    async def run(self) -> None:
        """Write every minute until cancelled."""
        while True:
            await anyio.sleep(self._seconds)
            await self.flush()
