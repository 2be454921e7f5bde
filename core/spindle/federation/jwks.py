"""Keys of one issuer: fixed ones, or those of a JWKS that is fetched beside the requests."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import structlog

from spindle.federation.keys import KeysRefused, VerifyingKey, read_jwks
from spindle.federation.transport import FetchFailed, fetch_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.types import JsonObject

_LOG = structlog.get_logger("spindle.federation")

_REST_SECONDS = 10.0
"""Between two fetches that requests ask for, whatever came of the first."""

FETCHES = "spindle_jwks_fetches_total"


class FixedKeys:
    """Keys that were configured."""

    def __init__(self, keys: Sequence[VerifyingKey]) -> None:
        self._keys = tuple(keys)

    def find(self, kid: str | None, algorithm: str) -> tuple[VerifyingKey, ...]:
        """Return the keys a token may be signed with; who names the key does not matter here."""
        del kid
        return tuple(key for key in self._keys if key.algorithm == algorithm)

    def may_fetch(self) -> bool:
        """Tell whether asking again may bring other keys."""
        return False

    def is_usable(self) -> bool:
        """Tell whether there are keys to judge by."""
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Where an issuer publishes its keys, and how long they serve, in seconds."""

    find_url: Callable[[], Awaitable[str]]
    hosts: frozenset[str]
    algorithms: tuple[str, ...]
    max_age: float
    """After it they are fetched again."""
    max_stale: float
    """After it they are not used any more."""


class PublishedKeys:
    """Keys that the issuer publishes. The last good ones stay while new ones cannot be had."""

    def __init__(
        self,
        source: KeySource,
        *,
        count: Callable[[str, float, dict[str, str]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._count = count
        self.clock = clock
        self._keys: tuple[VerifyingKey, ...] = ()
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = anyio.Lock()

    def find(self, kid: str | None, algorithm: str) -> tuple[VerifyingKey, ...]:
        """Return the keys a token may be signed with.

        A token that names none is taken only where there is no choice.
        """
        if not self.is_usable():
            return ()

        fitting = tuple(key for key in self._keys if key.algorithm == algorithm)

        if kid is None:
            return fitting if len(fitting) == 1 else ()

        return tuple(key for key in fitting if key.kid == kid)

    def may_fetch(self) -> bool:
        """Tell whether asking again may bring other keys: not right after the last time."""
        if self._fetching.locked():
            return True

        return self._tried_at is None or self.clock() - self._tried_at >= _REST_SECONDS

    def is_usable(self) -> bool:
        """Tell whether there are keys, and not too old ones."""
        return self._read_at is not None and self.clock() - self._read_at < self._source.max_stale

    def is_due(self) -> bool:
        """Tell whether the keys should be fetched again without anybody asking."""
        return self.may_fetch() and (
            self._read_at is None or self.clock() - self._read_at >= self._source.max_age
        )

    async def fetch(self) -> None:
        """Fetch the keys, once for all who wait; what is wrong is logged and changes nothing."""
        asked_at = self.clock()

        async with self._fetching:
            # Whoever waited for another's fetch has its result.
            if self._tried_at is not None and self._tried_at >= asked_at:
                return

            if self._tried_at is not None and asked_at - self._tried_at < _REST_SECONDS:
                return

            try:
                await self._fetch()
            except (FetchFailed, KeysRefused) as exc:
                self._count(FETCHES, 1.0, {"outcome": "failed"})
                _LOG.warning("keys not fetched", reason=str(exc), hosts=sorted(self._source.hosts))
            else:
                self._count(FETCHES, 1.0, {"outcome": "ok"})
            finally:
                self._tried_at = self.clock()

    async def _fetch(self) -> None:
        document: JsonObject = await fetch_json(
            await self._source.find_url(), hosts=self._source.hosts
        )
        self._keys = read_jwks(document, self._source.algorithms)
        self._read_at = self.clock()
