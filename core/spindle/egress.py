"""The egress guard: one function for every address somebody else chose."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable

_PORTS = {"http": 80, "https": 443}
_RESOLVE_SECONDS = 10.0
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]")
_CARRYING = tuple(ipaddress.ip_network(network) for network in ("::/96", "2002::/16", "2001::/32"))
"""IPv6 ranges whose addresses lead to an IPv4 address: compatible, 6to4, Teredo."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


async def safe_address(url: str, allowed_hosts: Iterable[str] = ()) -> str:
    """Resolve a URL's host once and return the address to connect to.

    Private, loopback, link-local and otherwise special ranges are refused, unless the operator
    allowed the host by name.

    Raises:
        InvalidArgument: Not http(s), not resolvable, or the address is refused. The message never
            tells what an internal name resolves to.
    """
    host, port = _target(url)

    try:
        with anyio.fail_after(_RESOLVE_SECONDS):
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as exc:
        raise _refused() from exc

    addresses = [str(entry[4][0]) for entry in found]

    if not addresses or (host not in allowed_hosts and not all(map(_is_public, addresses))):
        raise _refused()

    return addresses[0]


def _target(url: str) -> tuple[str, int]:
    """Return host and port of an http(s) URL that everybody reads the same way.

    Raises:
        InvalidArgument: It is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise _no_url() from exc

    # Parsers differ over these: what we judged must be what gets asked.
    if _AMBIGUOUS.search(url) or parts.scheme not in _PORTS or not host or port == 0:
        raise _no_url()

    if parts.username is not None:
        raise _no_url()

    return host, port or _PORTS[parts.scheme]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])

    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed.is_global and not parsed.is_multicast

    if not parsed.is_global or parsed.is_multicast or parsed.is_site_local:
        # A mapped address is not global itself on every Python; its inner one decides.
        mapped = parsed.ipv4_mapped
        return mapped is not None and _is_public(str(mapped))

    if parsed in _NAT64:
        return _is_public(str(ipaddress.IPv4Address(parsed.packed[-4:])))

    return not any(parsed in network for network in _CARRYING)


def _no_url() -> InvalidArgument:
    return InvalidArgument("The address must be an http or https URL.", code="core.egress.url")


def _refused() -> InvalidArgument:
    return InvalidArgument("This address is not allowed.", code="core.egress.refused")
