"""The walks of `resources/read`, `prompts/get` and `completion/complete`, as that of a tool's call.

See, may, admit, hooks, upstream, hooks, settle. What is hidden is answered as what is not there.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from spindle_mcp.errands import completing, invoked, reading, rendering
from spindle_mcp.links import scoped_result
from spindle_mcp.results import COMPLETE, GET, READ
from spindle_mcp.surface.dialogue.rounds import Rounds
from spindle_mcp.surface.dialogue.state import Binding
from spindle_mcp.surface.walks.contents import judged_contents
from spindle_mcp.surface.walks.delegation import delegated
from spindle_mcp.surface.walks.errors import UnknownResource, unknown_prompt
from spindle_mcp.surface.walks.judge import Judge, prepared
from spindle_mcp.surface.walks.lease import CallLease, RenewingPeer
from spindle_mcp.surface.walks.walk import Aim, admitted, round_of
from spindle_mcp.trace import traced
from spindle_mcp.upstream.faults import ResourceMissing, garbled
from spindle_spi.errors import GatewayError, NotFound
from spindle_spi.invocation import InputRequired
from spindle_spi.policy import Action, allow, permission_for
from spindle_spi.records import Kind, PromptSpec, Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_mcp.errands import Errand
    from spindle_mcp.surface.dialogue.turns import Turns
    from spindle_mcp.surface.shelf.shown import Shown
    from spindle_mcp.surface.shelf.views import Place, View
    from spindle_mcp.surface.walks.request import GovernedRequest
    from spindle_mcp.surface.walks.walk import InFlight
    from spindle_mcp.upstream.connections.base import Peer
    from spindle_mcp.upstream.fleet import Fleet
    from spindle_spi.admission import Permit
    from spindle_spi.catalog import CatalogService
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.ingress import Call
    from spindle_spi.services import Services
    from spindle_spi.types import Json, JsonObject

    MakeErrand = Callable[[JsonObject], Awaitable[Errand]]


class Fetches:
    """Carries them out for the surface."""

    def __init__(self, services: Services, fleet: Fleet, turns: Turns, in_flight: InFlight) -> None:
        self._services = services
        self._catalog = services.catalog
        self._fleet = fleet
        self._rounds = Rounds(fleet)
        self._turns = turns
        self._in_flight = in_flight

    async def read(
        self, view: View, call: Call, request: GovernedRequest
    ) -> JsonObject | InputRequired:
        """Read a resource by the URI this view shows; returns `{"contents", …}`.

        Raises:
            GatewayError: No such resource for this caller, not permitted, refused, or failed.
        """
        allow(call.context, permission_for(Kind.RESOURCE, Action.EXECUTE))
        said = request.name
        place = await self.place_of(view, call.context, said)

        async def errand(payload: JsonObject) -> Errand:
            uri = payload.get("uri")
            found = place

            if uri != said:
                # A plugin wrote another one, which must be of the same record.
                found = await self.place_of(view, call.context, str(uri))

            if found.shown.record.id != place.shown.record.id:
                raise UnknownResource(said)

            return reading(found.gateway, found.uri)

        unknown = UnknownResource(said)
        walk = _Walk(READ, place.shown, {"uri": said}, unknown, errand)
        result = await self._take(call, request, walk)
        return _as_shown(view, place.shown, result)

    async def render(
        self, view: View, call: Call, request: GovernedRequest
    ) -> JsonObject | InputRequired:
        """Render a prompt by the name this view shows; returns `{"messages", …}`.

        Raises:
            GatewayError: No such prompt for this caller, not permitted, refused, or failed.
        """
        allow(call.context, permission_for(Kind.PROMPT, Action.EXECUTE))
        shown = view.prompts.get(request.name)
        unknown = unknown_prompt(request.name)

        if shown is None:
            raise unknown

        spec = shown.record.spec

        async def errand(payload: JsonObject) -> Errand:
            assert isinstance(spec, PromptSpec)
            arguments = payload.get("arguments")
            return rendering(spec, arguments if isinstance(arguments, dict) else None)

        payload: JsonObject = {"arguments": request.arguments}
        walk = _Walk(GET, shown, payload, unknown, errand)
        result = await self._take(call, request, walk)
        return _as_shown(view, shown, result)

    async def complete(
        self, view: View, call: Call, ref: JsonObject, request: GovernedRequest
    ) -> JsonObject:
        """Complete an argument of a prompt or a template; returns `{"completion": {"values", …}}`.

        `request.arguments` holds `argument` and perhaps `context`, as the protocol has them.

        Raises:
            GatewayError: No such prompt or template for this caller, not permitted, or failed.
        """
        shown, own, unknown = self._referred(view, call, ref)
        gateway = shown.gateway or ""

        if not self._fleet.can(gateway, "completions"):
            return {"completion": {"values": [], "hasMore": False}}

        async def errand(payload: JsonObject) -> Errand:
            return completing(gateway, own, payload)

        walk = _Walk(COMPLETE, shown, request.arguments, unknown, errand)
        found = await self._run(traced(call, request.traceparent), request, walk)

        if isinstance(found, InputRequired):
            raise garbled(gateway, "a question in place of completions")

        return found

    async def invoked(
        self,
        context: AuthenticatedContext,
        permit: Permit,
        request: GovernedRequest,
        deadline: float | None,
    ) -> JsonObject | InputRequired:
        """Read or render for somebody else, who has admitted it and runs its hooks.

        Raises:
            GatewayError: The arguments are none, or the upstream failed.
        """
        errand = invoked(permit.record, request.arguments)

        if permit.record.kind is Kind.RESOURCE_TEMPLATE:
            uri, said = str(errand.params["uri"]), str(request.arguments["uri"])
            await check_open(self._catalog, self._fleet, context, errand.gateway, uri, said)

        with self._in_flight:
            return await self._fetch(permit, errand, request, deadline)

    async def place_of(self, view: View, context: AuthenticatedContext, said: str) -> Place:
        """Return where a URI leads that a caller said.

        Raises:
            NotFound: Nowhere that they see.
        """
        place = view.place_of(said)

        if place is None:
            raise UnknownResource(said)

        if place.shown.record.kind is Kind.RESOURCE_TEMPLATE:
            await check_open(self._catalog, self._fleet, context, place.gateway, place.uri, said)

        return place

    def _referred(
        self, view: View, call: Call, ref: JsonObject
    ) -> tuple[Shown, JsonObject, NotFound]:
        """Return what a reference means, its upstream's words for it, and the error if hidden."""
        unknown: NotFound
        shown: Shown | None

        if ref.get("type") == "ref/prompt":
            allow(call.context, permission_for(Kind.PROMPT, Action.READ))
            name = str(ref.get("name"))
            unknown = unknown_prompt(name)
            prompt = shown = view.prompts.get(name)
            own = {} if prompt is None else {**ref, "name": prompt.upstream_name}
        else:
            allow(call.context, permission_for(Kind.RESOURCE, Action.READ))
            uri = str(ref.get("uri"))
            unknown = UnknownResource(uri)
            place = view.templates.get(uri) or view.resources.get(uri)
            shown = place
            own = {} if place is None else {**ref, "uri": place.uri}

        if shown is None:
            raise unknown

        return shown, own, unknown

    async def _take(
        self, call: Call, request: GovernedRequest, walk: _Walk
    ) -> JsonObject | InputRequired:
        """Carry a request out in as many rounds as it takes."""
        call = traced(call, request.traceparent)

        async def work(
            peer: Peer | None, state: Json, outlives: bool
        ) -> JsonObject | InputRequired:
            again = replace(request, peer=peer, state=state, outlives=outlives or request.outlives)
            return await self._run(call, again, walk)

        return await self._turns.take(
            call,
            Binding(method=walk.method, target=request.name, arguments=request.arguments),
            work,
            gateway=walk.shown.gateway if walk.shown.is_ours else None,
            peer=request.peer,
            state=request.state,
            responses=request.responses,
        )

    async def _run(
        self, call: Call, request: GovernedRequest, walk: _Walk
    ) -> JsonObject | InputRequired:
        with self._in_flight:
            if not request.outlives:
                return await self._carry_out(call, request, walk, None)

            # The permit must not go with the HTTP exchange, which may end before the answer comes.
            async with CallLease(self._services, call) as lease:
                return await self._carry_out(call, request, walk, lease)

    async def _carry_out(
        self, call: Call, request: GovernedRequest, walk: _Walk, lease: CallLease | None
    ) -> JsonObject | InputRequired:
        if lease is not None and request.peer is not None:
            request = replace(request, peer=RenewingPeer(request.peer, lease))

        lease_id = None if lease is None else lease.id
        record = walk.shown.record
        aim = Aim(Target(kind=record.kind, name=record.name), walk.action, walk.unknown)

        if not walk.shown.is_ours:
            request = replace(request, arguments=walk.payload)
            return await delegated(self._catalog, call, aim, request, lease_id)

        answer = partial(self._answer, call, request, walk)
        return await admitted(self._catalog, call, aim, lease_id, answer)

    async def _answer(
        self, call: Call, request: GovernedRequest, walk: _Walk, permit: Permit
    ) -> JsonObject | InputRequired:
        trace = call.context.trace.traceparent
        request = replace(request, traceparent=trace, caller=call.context)
        payload, judge = walk.payload, None

        if permit.hooks:
            judge = Judge(self._services, call, permit)
            request = await prepared(judge, request)
            payload = await judge.payload(payload)

        errand = await walk.errand(payload)

        try:
            result = await self._fetch(permit, errand, request, call.deadline, judge)
        except ResourceMissing as exc:
            raise walk.unknown from exc

        if judge is None or not judge.judges_answers or isinstance(result, InputRequired):
            return result

        return await judged_contents(judge, result)

    async def _fetch(
        self,
        permit: Permit,
        errand: Errand,
        request: GovernedRequest,
        deadline: float | None,
        judge: Judge | None = None,
    ) -> JsonObject | InputRequired:
        """Run an errand under a permit: what follows admission and hooks."""
        asked = round_of(permit, request, deadline, errand.method, errand.params)
        answer = await self._rounds.request(errand.gateway, asked, judge)
        return answer if isinstance(answer, InputRequired) else errand.read(answer, errand.gateway)


class _Walk:
    """One request on its way."""

    __slots__ = ("errand", "method", "payload", "shown", "unknown")

    def __init__(
        self,
        method: str,
        shown: Shown,
        payload: JsonObject,
        unknown: NotFound,
        errand: MakeErrand,
    ) -> None:
        self.method = method
        self.shown = shown
        self.payload = payload
        """What plugins are shown of the request; see `Invocation`."""
        self.unknown = unknown
        """The answer if it is hidden."""
        self.errand = errand
        """What to ask of the upstream, given the payload they left."""

    @property
    def action(self) -> Action:
        """What is done with the record."""
        return Action.READ if self.method == COMPLETE else Action.EXECUTE


async def check_open(
    catalog: CatalogService,
    fleet: Fleet,
    context: AuthenticatedContext,
    gateway: str,
    uri: str,
    said: str,
) -> None:
    """Check that nothing is hidden behind a template: whatever else stands for a URI is seen, too.

    Raises:
        NotFound: A record for it is hidden from this caller.
    """
    for target in fleet.standing_for(gateway, uri):
        try:
            await catalog.fetch(context, target)
        except GatewayError as exc:
            raise UnknownResource(said) from exc


def _as_shown(
    view: View, shown: Shown, result: JsonObject | InputRequired
) -> JsonObject | InputRequired:
    if isinstance(result, InputRequired) or shown.gateway is None:
        return result

    if shown.is_bare or not shown.is_ours:
        return result

    return scoped_result(shown.gateway, result, lambda uri: view.place_of(uri) is not None)
