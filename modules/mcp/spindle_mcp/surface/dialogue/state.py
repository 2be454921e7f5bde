"""`requestState` as clients hold it between two rounds: sealed, and good for one request only.

Whoever holds it can neither read nor change it; it is bound to the caller, the endpoint, what is
called and with which arguments, and to a time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState
from mcp.shared.exceptions import MCPError
from mcp_types.jsonrpc import INVALID_PARAMS

from spindle_mcp.text import decode, encode
from spindle_spi.errors import FailedPrecondition
from spindle_spi.observability import Level
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from spindle_spi.ingress import Call
    from spindle_spi.services import Services

_PURPOSE: Final = "request-state"
_FRESH_SECONDS: Final = 60.0
"""How long the keys are used before they are asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a state is good for."""

    method: str
    target: str
    """The name, or the URI, as the client says it."""
    arguments: JsonObject

    def of(self, call: Call) -> JsonObject:
        """Return it as it is sealed, for a caller."""
        arguments = hashlib.sha256(_canonical(self.arguments)).hexdigest()
        subject = call.context.subject
        return {
            "m": self.method,
            "t": self.target,
            "a": arguments,
            "p": [subject.token_id, call.server_slug],
        }


class StateSeal:
    """Seals and opens states, with keys that all processes of the gateway share."""

    def __init__(self, services: Services, *, seconds: float) -> None:
        self._services = services
        self._seconds = seconds
        self._codec: AESGCMRequestStateCodec | None = None
        self._fresh_until = 0.0
        self._own_key = secrets.token_bytes(32)

    async def seal(self, call: Call, binding: Binding, state: JsonObject) -> str:
        """Return a state for the client to hold."""
        now = time.time()
        claims: JsonObject = {"s": state, "exp": now + self._seconds, "b": binding.of(call)}
        return (await self._keys()).seal(encode(claims))

    async def unseal(self, call: Call, binding: Binding, sealed: object) -> JsonObject:
        """Return the state a client gives back.

        Raises:
            MCPError: It is none of ours, somebody else's, for another request, or too old.
        """
        if not isinstance(sealed, str):
            raise _refusal()

        try:
            claims = decode((await self._keys()).unseal(sealed))
        except (InvalidRequestState, ValueError) as exc:
            raise _refusal() from exc

        if not isinstance(claims, dict) or claims.get("b") != binding.of(call):
            raise _refusal()

        state, expires = claims.get("s"), claims.get("exp")

        if not isinstance(expires, int | float) or expires <= time.time():
            raise _refusal()

        if not isinstance(state, dict):
            raise _refusal()

        return state

    async def _keys(self) -> AESGCMRequestStateCodec:
        if self._codec is None or time.monotonic() >= self._fresh_until:
            self._codec = AESGCMRequestStateCodec(await self._ring())
            self._fresh_until = time.monotonic() + _FRESH_SECONDS

        return self._codec

    async def _ring(self) -> list[bytes]:
        try:
            keys = await self._services.config_secrets.derived_keys(_PURPOSE)
        except FailedPrecondition as exc:
            # One process alone gets by with a key of its own.
            self._services.observability.log(
                Level.WARNING, "mcp.state.no_shared_key", {"failure": exc.message}
            )
            keys = ()

        return [key.reveal().encode() for key in keys] or [self._own_key]


def _canonical(arguments: JsonObject) -> bytes:
    return json.dumps(arguments, sort_keys=True).encode()


def _refusal() -> MCPError:
    return MCPError(
        INVALID_PARAMS, "Invalid or expired requestState", {"reason": "invalid_request_state"}
    )
