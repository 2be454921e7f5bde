"""A resolver that does not resolve: for hosts whose address somebody has judged."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult


class Pinned(AbstractResolver):
    """Answers every name with the one address that was judged."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See `AbstractResolver`."""
        del family
        kind = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=kind,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """See `AbstractResolver`."""
