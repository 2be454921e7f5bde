"""What is fetched from a provider: from where it may be, and nothing that is not asked for."""

from __future__ import annotations

import anyio
import pytest

from spindle.federation.transport import FetchFailed, fetch_json, hosts_of, json_object
from tests.support.http_server import Answered, Asked, serve_http


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://localhost:1/x", "the address is refused"),
        ("https://10.0.0.1:1/x", "the address is refused"),
        ("https://169.254.169.254/x", "the address is refused"),
        ("https://[::1]:1/x", "the address is refused"),
        ("https://user@localhost:1/x", "the address is refused"),
        ("http://localhost:1/x", "the address is not https"),
        ("http://example.com/x", "the address is not https"),
        ("ftp://example.com/x", "the address is not https"),
        ("https://x:port/", "InvalidURL"),
    ],
)
async def test_an_address_that_nobody_here_named_must_be_public(url: str, reason: str) -> None:
    with pytest.raises(FetchFailed, match=f"^{reason}$"):
        await fetch_json(url, hosts=["127.0.0.1", "example.com"])


async def test_an_answer_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spindle.federation.transport.SECONDS", 0.05)

    async def silence(request: Asked) -> Answered:
        del request
        await anyio.sleep_forever()
        return Answered()

    async with serve_http(silence) as url:
        with pytest.raises(FetchFailed):
            await fetch_json(url, hosts=hosts_of(url, None))


def test_json_is_an_object_or_nothing() -> None:
    assert json_object(b'{"a": 1}') == {"a": 1}

    for text in (b"", b"[]", b"1", b"{", b"[" * 100_000, b"\xff"):
        with pytest.raises(FetchFailed):
            json_object(text)
