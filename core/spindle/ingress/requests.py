"""What ingress reads of a request's head, before anything of its body is read."""

from __future__ import annotations

import ipaddress
import random
import re
from typing import TYPE_CHECKING

from spindle_spi.context import TraceContext
from spindle_spi.context_header import CONTEXT_HEADER
from spindle_spi.errors import InvalidArgument, PermissionDenied

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_spi.types import Scope

Headers = dict[bytes, bytes]

_CONTEXT = CONTEXT_HEADER.encode()
_ONCE = frozenset({b"host", b"authorization", b"x-api-key", b"content-length", b"origin"})
"""Two of these would mean that somebody behind us might read the other one."""
_WANTED = _ONCE | {b"x-request-id", b"traceparent", b"cookie", b"x-spindle-csrf", _CONTEXT}

_CORRELATION = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_KEPT_HOSTS = 64

_random_bits = random.Random().getrandbits  # seeded from the system; ids are no secrets


def new_request_id() -> str:
    """Return a fresh id, unique for all practical purposes."""
    return f"req_{_random_bits(96):024x}"


def read_headers(scope: Scope) -> Headers:
    """Return the headers ingress decides on; a forged context header is taken out of the scope.

    Of a header that may come once only, a second one is kept under its name with `*`: see
    `check_repeated`. It is not raised here because there is no route yet whose shape to answer in.
    """
    found: Headers = {}

    for name, value in scope["headers"]:
        if name in _WANTED:
            if name in found and name in _ONCE:
                found[b"*"] = name
            else:
                found[name] = value

    if _CONTEXT in found:
        scope["headers"] = [header for header in scope["headers"] if header[0] != _CONTEXT]

    return found


def check_repeated(headers: Headers) -> None:
    """Refuse a request that says a decisive header twice.

    Raises:
        InvalidArgument: It does.
    """
    name = headers.get(b"*")

    if name is not None:
        raise InvalidArgument(
            f"The header {name.decode()} may be sent once only.", code="core.header_repeated"
        )


def trace_of(headers: Headers, request_id: str) -> TraceContext:
    """Return the trace of a request; what the client sent is kept only in a valid form."""
    correlation = headers.get(b"x-request-id")
    traceparent = headers.get(b"traceparent")

    if correlation is not None and not _CORRELATION.fullmatch(correlation):
        correlation = None

    if traceparent is not None and not _TRACEPARENT.fullmatch(traceparent):
        traceparent = None

    return TraceContext(
        request_id=request_id,
        correlation_id=None if correlation is None else correlation.decode(),
        traceparent=None if traceparent is None else traceparent.decode(),
    )


def credential_of(headers: Headers) -> str | None:
    """Return the token of `Authorization: Bearer`, else of `x-api-key`."""
    authorization = headers.get(b"authorization")

    if authorization is not None and authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip().decode("latin-1") or None

    key = headers.get(b"x-api-key")
    return None if key is None else key.strip().decode("latin-1") or None


def client_ip_of(scope: Scope) -> str | None:
    """Return the peer's address, from the socket alone."""
    client: tuple[str, int] | None = scope.get("client")
    return None if client is None else client[0]


def is_loopback(client_ip: str | None) -> bool:
    """Tell whether a peer is on this machine."""
    try:
        address = ipaddress.ip_address(client_ip or "")
    except ValueError:
        return False

    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


class Perimeter:
    """Which Host and Origin may come in: the guard against DNS rebinding."""

    def __init__(self, *, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)
        self._known: set[bytes] = set()

    def check(self, headers: Headers) -> None:
        """Let a request in.

        Raises:
            InvalidArgument: Its Host is not one of ours (421).
            PermissionDenied: Its Origin is not one we serve.
        """
        host = headers.get(b"host", b"")

        if host not in self._known:
            self._check_host(host)

        origin = headers.get(b"origin")

        if origin is not None:
            self._check_origin(origin.decode("latin-1").lower(), host.decode("latin-1").lower())

    def is_own(self, headers: Headers) -> bool:
        """Tell whether a page of ours, or of an origin that is named as allowed, asks."""
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        host = headers.get(b"host", b"").decode("latin-1").lower()
        return origin in (f"http://{host}", f"https://{host}") or origin in self._origins

    def _check_host(self, host: bytes) -> None:
        said = host.decode("latin-1").lower()

        if not ({"*", said, _without_port(said)} & self._hosts):
            raise InvalidArgument(
                "This server does not answer for that host; see server.allowed_hosts.",
                code="core.host_not_allowed",
                http_status=421,
            )

        # Many names may be allowed by "*", so what is kept is bounded.
        if len(self._known) < _KEPT_HOSTS:
            self._known.add(host)

    def _check_origin(self, origin: str, host: str) -> None:
        own = (f"http://{host}", f"https://{host}")

        if origin not in own and origin not in self._origins and "*" not in self._origins:
            raise PermissionDenied(
                "Requests from that origin are not served; see server.allowed_origins.",
                code="core.origin_not_allowed",
            )


def _without_port(host: str) -> str:
    """Return a Host header's name: `[::1]:80` -> `[::1]`, `a:80` -> `a`."""
    name, colon, port = host.rpartition(":")
    is_name = ":" not in name or name.endswith("]")
    return name if colon and port.isdigit() and is_name else host
