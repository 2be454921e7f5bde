"""The egress guard: whatever a private address is spelled as, it is refused."""

from __future__ import annotations

import anyio
import pytest

from spindle.egress import safe_address
from spindle_spi.errors import InvalidArgument


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    async def getaddrinfo(host: object, port: object, **options: object) -> list[object]:
        return [(0, 0, 0, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a00:1]",
        "[2002:7f00:1::]",
        "[2001:0:5ef5:79fd::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[fc00::1]",
        "[ff02::1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
async def test_what_is_not_public_is_refused(host: str) -> None:
    """In every spelling, with the same answer."""
    with pytest.raises(InvalidArgument) as caught:
        await safe_address(f"http://{host}/mcp")

    assert caught.value.code == "core.egress.refused"
    assert caught.value.message == "This address is not allowed."


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://user@example.org/",
        "http://@example.org/",
        "http://:p@example.org/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org:x/",
        "http://[::1",
        "http://[nonsense]/",
        "http://exa\nmple.org/",
        "http://exam ple.org/",
        "http://example.org\\@127.0.0.1/",
        "http://127.0.0.1\t/",
    ],
)
async def test_what_is_no_plain_url_is_refused(url: str) -> None:
    """Before anything is resolved."""
    with pytest.raises(InvalidArgument) as caught:
        await safe_address(url)

    assert caught.value.code == "core.egress.url"


@pytest.mark.parametrize("host", ["x" * 300 + ".example", "a..example", "\udcff.example"])
async def test_a_name_that_cannot_be_resolved_is_refused(host: str) -> None:
    """As if it were private: the answer does not tell which."""
    with pytest.raises(InvalidArgument) as caught:
        await safe_address(f"http://{host}/")

    assert caught.value.code == "core.egress.refused"


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"],
)
async def test_a_public_address_is_pinned(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """What was judged is what is returned."""
    resolving(monkeypatch, address)
    assert await safe_address("https://example.org") == address


async def test_one_private_address_among_public_ones_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that leads to both is refused, unless the operator allowed that name."""
    resolving(monkeypatch, "93.184.216.34", "10.0.0.1")

    with pytest.raises(InvalidArgument):
        await safe_address("http://example.org", ["example.com"])

    assert await safe_address("http://EXAMPLE.org", ["example.org"]) == "93.184.216.34"


async def test_a_resolver_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so is one that finds nothing."""
    monkeypatch.setattr("spindle.egress._RESOLVE_SECONDS", 0.01)

    async def getaddrinfo(host: object, port: object, **options: object) -> list[object]:
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)

    with pytest.raises(InvalidArgument):
        await safe_address("http://example.org")

    resolving(monkeypatch)

    with pytest.raises(InvalidArgument):
        await safe_address("http://example.org", ["example.org"])
