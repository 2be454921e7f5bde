"""One request of a client as one turn of a call: a new call, or another turn of one that waits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spindle_mcp.capabilities import callbacks_in
from spindle_mcp.surface.dialogue.parking import Parked, Parking, parked_in
from spindle_spi.invocation import InputRequired

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_mcp.surface.dialogue.state import Binding, StateSeal
    from spindle_mcp.upstream.connections.base import Peer
    from spindle_mcp.upstream.fleet import Fleet
    from spindle_spi.ingress import Call
    from spindle_spi.types import Json, JsonObject

    Work = Callable[[Peer | None, Json, bool], Awaitable[JsonObject | InputRequired]]

_UPSTREAM: Final = "upstream"
"""Where the state that a client holds has the upstream's."""


class Turns:
    """Takes the turns of `tools/call`, `prompts/get` and `resources/read`."""

    def __init__(self, fleet: Fleet, parking: Parking, seal: StateSeal) -> None:
        self._fleet = fleet
        self._parking = parking
        self._seal = seal

    async def take(  # noqa: PLR0913 - what a turn is made of
        self,
        call: Call,
        binding: Binding,
        work: Work,
        *,
        gateway: str | None,
        peer: Peer | None,
        state: Json = None,
        responses: JsonObject | None = None,
    ) -> JsonObject | InputRequired:
        """Return the result, or what the client has to answer first, with a state it can hold.

        `work` is the call itself, given its peer, the upstream's own state, and whether it goes on
        when this request ends; it is done once. `gateway` is whose upstream it reaches, if any.

        Raises:
            GatewayError: What the work raised, or the call that this continues is lost.
            MCPError: The client's state is not good for this request.
        """
        held: JsonObject = {}

        if state is not None:
            held = await self._seal.unseal(call, binding, state)

        parked = parked_in(held)

        if parked is not None and peer is not None:
            found = await self._parking.resume(parked, peer.key, peer, responses or {})
        elif peer is not None and self._may_have_to_wait(gateway, peer):

            async def detached(peer: Peer) -> JsonObject | InputRequired:
                return await work(peer, held.get(_UPSTREAM), True)

            found = await self._parking.begin(peer.key, peer, detached)
        else:
            found = await work(peer, held.get(_UPSTREAM), False)

        if isinstance(found, Parked):
            sealed = await self._seal.seal(call, binding, found.state)
            return InputRequired(requests=found.questions, state=sealed)

        if isinstance(found, InputRequired) and found.state is not None:
            sealed = await self._seal.seal(call, binding, {_UPSTREAM: found.state})
            return replace(found, state=sealed)

        return found

    def _may_have_to_wait(self, gateway: str | None, peer: Peer) -> bool:
        """Tell whether an upstream may ask a client that cannot be asked at once."""
        if gateway is None or peer.is_session or not callbacks_in(peer.capabilities):
            return False

        return self._fleet.era(gateway) == "legacy"
