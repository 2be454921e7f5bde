"""Where a request comes from when proxies stand in front: only what a trusted one says counts."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    HeaderPairs = Sequence[tuple[bytes, bytes]]

ProxyHeader = Literal["x-forwarded-for", "forwarded"]
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_PROTO = b"x-forwarded-proto"
_SCHEMES: Final = ("http", "https")
_MAX_HOPS: Final = 32


class TrustedProxies:
    """Reads one header, the one the operator's proxy writes: clients may send the other one."""

    def __init__(self, ranges: Iterable[str], header: ProxyHeader) -> None:
        self._ranges = tuple(ipaddress.ip_network(text, strict=False) for text in ranges)
        self._header = header.encode()

    def trusts(self, address: str | None) -> bool:
        """Tell whether an address is a proxy of ours."""
        parsed = _parsed(address or "")
        return parsed is not None and self._is_ours(parsed)

    def client_of(self, peer: str, headers: HeaderPairs) -> str | None:
        """Return the client's address behind a trusted peer: the first hop from the right not ours.

        None when a proxy said something that is no address: nobody knows, then.
        """
        hops = list(self._hops(headers))
        client = peer

        for hop in reversed(hops[-_MAX_HOPS:]):
            parsed = _parsed(hop)

            if parsed is None:
                return None

            client = str(parsed)

            if not self._is_ours(parsed):
                return client

        return client

    def scheme_of(self, headers: HeaderPairs) -> str | None:
        """Return what the nearest proxy was asked by: http, https, or None when it does not say."""
        said = [value for name, value in headers if name == _PROTO]
        scheme = said[-1].decode("latin-1").rpartition(",")[2].strip().lower() if said else ""

        if not said and self._header == b"forwarded":
            last = b",".join(value for name, value in headers if name == self._header)
            scheme = _parameter(last.decode("latin-1").rpartition(",")[2], "proto").lower()

        return scheme if scheme in _SCHEMES else None

    def _hops(self, headers: HeaderPairs) -> Iterator[str]:
        for name, value in headers:
            if name == self._header:
                for part in value.decode("latin-1").split(","):
                    yield part if self._header != b"forwarded" else _parameter(part, "for")

    def _is_ours(self, address: _Address) -> bool:
        return any(address in each for each in self._ranges if each.version == address.version)


def _parameter(element: str, wanted: str) -> str:
    for pair in element.split(";"):
        name, _, value = pair.partition("=")

        if name.strip().lower() == wanted:
            return value.strip().strip('"')

    return ""


def _parsed(text: str) -> _Address | None:
    """Return the address of `192.0.2.7`, `192.0.2.7:80`, `2001:db8::1` or `[2001:db8::1]:80`."""
    text = text.strip()

    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]

    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None

    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
