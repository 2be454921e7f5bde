"""Keeps what an upstream offers current: read when it says so, from time to time, and not oftener.

A reading that fails leaves what was known; what it was that failed decides what comes next.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import anyio

from spindle_mcp.upstream.connections.base import EVERYTHING
from spindle_mcp.upstream.faults import HttpRefused, RpcRefused, SessionLost, Unreachable
from spindle_mcp.upstream.keys import lease_keys
from spindle_spi.errors import RateLimited, UpstreamError
from spindle_spi.observability import Level

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_mcp.upstream.connections.base import Upstream
    from spindle_mcp.upstream.keys import Keys
    from spindle_mcp.upstream.offers.lists import Lists
    from spindle_spi.records import GatewaySpec
    from spindle_spi.services import Services

_MAX_FAILURES: Final = 3
_REST: Final = 0.1
"""Between two readings of an upstream's lists."""
FIRST_PAUSE: Final = 0.25


def backoff(failures: int, longest: float) -> float:
    """Return the seconds to wait after some failures in a row."""
    return min(FIRST_PAUSE * 2.0 ** min(failures, 16), longest)


class Freshness:
    """Of the lists of one gateway."""

    def __init__(
        self,
        gateway: str,
        spec: GatewaySpec,
        services: Services,
        lists: Lists,
        on_updated: Callable[[str, str], None],
    ) -> None:
        """`on_updated` is told of every resource that the upstream says was updated."""
        self._gateway = gateway
        self._spec = spec
        self._services = services
        self._lists = lists
        self._on_updated = on_updated

    async def keep(
        self, upstream: Upstream, keys: Keys, longest: float, *, is_complete: bool
    ) -> None:
        """Read the lists again when told, and after `longest` seconds; return to reconnect.

        A lease of a secret that ends is such a time: another value is used from then on.
        """
        failures = 0 if is_complete else 1

        while True:
            wait, lists = backoff(failures, longest) if failures else longest, EVERYTHING.lists

            try:
                with anyio.move_on_after(keys.until(wait * random.uniform(0.9, 1.1))):
                    change = await upstream.changed()
                    lists = lists if failures else change.lists

                    for uri in change.resources:
                        self._on_updated(self._gateway, uri)

                if keys.is_over:
                    before = keys
                    keys = await lease_keys(self._spec, self._services.config_secrets)

                    if not keys.allow(upstream, before):
                        return

                failures = 0 if await self._lists.read(upstream, lists) else failures + 1
                # What is said meanwhile is kept: one that never stops saying is read as often.
                await anyio.sleep(_REST if lists else 0.0)
            except (UpstreamError, RateLimited) as exc:
                failures += 1

                if self._is_verdict(exc, upstream, failures):
                    raise

                self._services.observability.log(
                    Level.WARNING,
                    "mcp.gateway.refresh_failed",
                    {"gateway": self._gateway, "error": exc.code},
                )
                # What failed at once would fail at once again.
                await anyio.sleep(backoff(failures, longest))

    def _is_verdict(
        self, exc: UpstreamError | RateLimited, upstream: Upstream, failures: int
    ) -> bool:
        """Tell whether to find out anew what the upstream is: it is gone, or not what it was."""
        match exc:
            case SessionLost() | RpcRefused():
                return True
            case HttpRefused():
                # A fault of the server's is no word on what it is.
                return not exc.retryable
            case _:
                holds_connection = upstream.era == "legacy" or self._spec.transport == "stdio"
                is_gone = failures >= _MAX_FAILURES or isinstance(exc, Unreachable)
                return holds_connection and is_gone
