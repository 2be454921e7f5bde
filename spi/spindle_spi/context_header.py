"""A `Call` in one header, for a sidecar: sealed by the host, verified locally, no SPI call.

The host strips the header from what clients send, so only the channel's holder can make one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from spindle_spi.codec import decode, encode
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import InvalidArgument, Unauthenticated
from spindle_spi.ingress import Call

CONTEXT_HEADER: Final = "x-spindle-context"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedCall:
    """What the header carries: see the members of `Call`."""

    context: AuthenticatedContext
    view_key: str = ""
    deadline: float | None = None
    """The monotonic clock of the machine, which the host and its sidecars share."""
    depth: int = 0
    server_slug: str | None = None


def seal(call: Call, channel_token: bytes) -> str:
    """Return the header value for a call, MACed with the channel token."""
    sealed = SealedCall(
        context=call.context,
        view_key=call.view_key,
        deadline=call.deadline,
        depth=call.depth,
        server_slug=call.server_slug,
    )
    payload = base64.urlsafe_b64encode(encode(sealed, SealedCall)).decode()
    return f"{payload}.{_mac(payload, channel_token).decode()}"


def unseal(value: str, channel_token: bytes) -> Call:
    """Return the call of a header value.

    Raises:
        Unauthenticated: The value was not made with this channel token.
    """
    payload, _, mac = value.rpartition(".")

    if not hmac.compare_digest(mac.encode(errors="replace"), _mac(payload, channel_token)):
        raise _refusal()

    try:
        sealed = decode(base64.urlsafe_b64decode(payload), SealedCall)
    except (binascii.Error, InvalidArgument) as exc:
        # Whoever sealed it speaks another version of the contract.
        raise _refusal() from exc

    return Call(
        sealed.context,
        view_key=sealed.view_key,
        deadline=sealed.deadline,
        depth=sealed.depth,
        server_slug=sealed.server_slug,
    )


def _mac(payload: str, channel_token: bytes) -> bytes:
    digest = hmac.new(channel_token, payload.encode(errors="replace"), hashlib.sha256)
    return digest.hexdigest().encode()


def _refusal() -> Unauthenticated:
    return Unauthenticated("The context header does not hold.", code="spi.context_header")
