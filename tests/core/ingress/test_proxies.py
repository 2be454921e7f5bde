"""Who the client is when proxies stand in front, and that nobody can pretend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle.ingress.bounds import Bounds
from spindle.ingress.proxies import TrustedProxies
from spindle.ingress.requests import client_ip_of
from tests.core.ingress.wire import wired

if TYPE_CHECKING:
    from spindle_spi.types import Scope

OURS = ("10.0.0.0/8", "2001:db8::/32", "127.0.0.1")
PEER = "10.0.0.1"


def client(*values: str, peer: str = PEER) -> str | None:
    proxies = TrustedProxies(OURS, "x-forwarded-for")
    return proxies.client_of(peer, [(b"x-forwarded-for", value.encode()) for value in values])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), PEER),
        (("192.0.2.7",), "192.0.2.7"),
        (("192.0.2.7:4711",), "192.0.2.7"),
        (("[2001:db9::1]:80",), "2001:db9::1"),
        (("2001:db9::1",), "2001:db9::1"),
        (("::ffff:192.0.2.7",), "192.0.2.7"),
        (("1.1.1.1, 192.0.2.7",), "192.0.2.7"),
        (("1.1.1.1", "192.0.2.7"), "192.0.2.7"),
        (("1.1.1.1, 192.0.2.7, 10.9.9.9, 2001:db8::5",), "192.0.2.7"),
        (("10.1.1.1, 10.2.2.2",), "10.1.1.1"),
        (("192.0.2.7, unknown",), None),
        (("192.0.2.7, ",), None),
        (("garbage, 192.0.2.7",), "192.0.2.7"),
        (("1.1.1.1, " * 1000 + "10.3.3.3",), "1.1.1.1"),
    ],
)
def test_the_client_is_the_first_hop_from_the_right_that_is_not_ours(
    values: tuple[str, ...], expected: str | None
) -> None:
    """What stands further to the left is the client's own word, and counts for nothing."""
    assert client(*values) == expected


def test_the_standard_header_is_read_where_the_operator_says_so() -> None:
    """`Forwarded`, in all its spellings; the other header is the client's then."""
    proxies = TrustedProxies(OURS, "forwarded")
    headers = [
        (b"x-forwarded-for", b"1.1.1.1"),
        (b"forwarded", b"for=1.2.3.4;proto=http"),
        (b"forwarded", b'Proto=HTTPS;by=10.0.0.9;For="[2001:db9::1]:4711", for=10.0.0.5'),
    ]
    assert proxies.client_of(PEER, headers) == "2001:db9::1"
    assert proxies.scheme_of(headers) is None
    assert proxies.scheme_of(headers[:2]) == "http"
    assert proxies.client_of(PEER, headers[:1]) == PEER
    assert proxies.client_of(PEER, [(b"forwarded", b"by=1.1.1.1")]) is None


def test_only_a_proxy_of_ours_is_trusted() -> None:
    """By its address, mapped or not."""
    proxies = TrustedProxies(OURS, "x-forwarded-for")
    assert proxies.trusts("10.200.0.1")
    assert proxies.trusts("::ffff:10.200.0.1")
    assert not proxies.trusts("11.0.0.1")
    assert not proxies.trusts(None)
    assert not proxies.trusts("unix:")


async def seen(trusted: tuple[str, ...], *lines: bytes) -> Scope:
    """Return the scope of a request with these header lines, from 127.0.0.1."""
    proxies = TrustedProxies(trusted, "x-forwarded-for") if trusted else None

    async with wired(Bounds(proxies=proxies)) as wire:
        head = b"".join(line + b"\r\n" for line in lines)
        await wire.ask(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + head + b"\r\n")
        return wire.seen[0]


SPOOFED = (b"x-forwarded-for: 192.0.2.7", b"x-forwarded-proto: https", b"forwarded: for=192.0.2.8")


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",)])
async def test_a_client_cannot_choose_its_address(trusted: tuple[str, ...]) -> None:
    """A token bound to an address is refused whatever headers say: only the socket counts."""
    scope = await seen(trusted, *SPOOFED)
    assert client_ip_of(scope) == "127.0.0.1"
    assert scope["scheme"] == "http"


async def test_behind_a_proxy_the_client_is_what_the_proxy_says() -> None:
    """Address and scheme; and nobody at all when it says nonsense."""
    scope = await seen(("127.0.0.1",), *SPOOFED)
    assert client_ip_of(scope) == "192.0.2.7"
    assert scope["scheme"] == "https"
    odd = await seen(("127.0.0.1",), b"x-forwarded-for: me", b"x-forwarded-proto: gopher")
    assert client_ip_of(odd) is None
    assert odd["scheme"] == "http"
