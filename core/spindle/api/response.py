"""What a handler of the control plane answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote

from spindle_spi.types import Json

if TYPE_CHECKING:
    from spindle_spi.types import Send

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_IN_PATHS: Final = "/~@:+,;=!$&'()*"
"""What stands in a path as it is, beside letters and digits."""
_NO_STORE = (b"cache-control", b"no-store")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Status, body and headers of one answer."""

    status: int = 200
    body: Json | bytes | AsyncIterator[bytes] = None
    """JSON; bytes as they are; or bytes as they come. None is no body."""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    cookies: Sequence[str] = ()
    """Each as it is said in its own `Set-Cookie`."""

    async def send(self, send: Send) -> None:
        """Send it."""
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        headers.extend((b"set-cookie", cookie.encode()) for cookie in self.cookies)
        headers.append(_NO_STORE)
        body = self.body

        if body is None:
            await _send_whole(send, self.status, headers, b"")
            return

        headers.append((b"content-type", self.content_type.encode()))

        if isinstance(body, AsyncIterator):
            await _send_parts(send, self.status, headers, body)
        else:
            whole = body if isinstance(body, bytes) else to_json(body)
            await _send_whole(send, self.status, headers, whole)


def to_json(value: Json) -> bytes:
    """Return JSON in UTF-8, without spaces; what is no JSON is refused, not written as NaN."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def ok(body: Json, *, etag: str | None = None) -> Response:
    """Return a 200 with a body, and the tag of what it shows."""
    return Response(body=body, headers={} if etag is None else {"etag": etag})


def created(body: Json, location: str, *, etag: str | None = None) -> Response:
    """Return a 201 with what was made and where it is; the path is said in words of its own."""
    # A header takes no other characters than a URL: names may have them.
    headers = {"location": quote(location, safe=_IN_PATHS)} | (
        {} if etag is None else {"etag": etag}
    )
    return Response(status=201, body=body, headers=headers)


def no_content() -> Response:
    """Return a 204."""
    return Response(status=204)


async def _send_whole(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    if status != 204:
        headers.append((b"content-length", b"%d" % len(body)))

    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_parts(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], parts: AsyncIterator[bytes]
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})

    async for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})

    await send({"type": "http.response.body", "body": b""})
