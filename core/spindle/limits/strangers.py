"""Where callers without a token come from, so that they do not share one allowance."""

from __future__ import annotations

import ipaddress
from typing import Final

_MOST = 10_000
"""Requests remembered; the oldest are forgotten first."""
_NETWORK = 64
"""Bits of an IPv6 address that tell customers apart."""

ANYWHERE: Final = "anywhere"


class Strangers:
    """Client addresses by request id. Bounded: who is forgotten counts with all others like it."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}

    def note(self, request_id: str, address: str | None) -> None:
        """Remember where a request comes from."""
        if len(self._addresses) >= _MOST:
            del self._addresses[next(iter(self._addresses))]

        self._addresses[request_id] = _network(address)

    def address_of(self, request_id: str) -> str:
        """Return where a request comes from."""
        return self._addresses.get(request_id, ANYWHERE)


def _network(address: str | None) -> str:
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return ANYWHERE

    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)

        return str(ipaddress.ip_network((parsed, _NETWORK), strict=False))

    return str(parsed)
