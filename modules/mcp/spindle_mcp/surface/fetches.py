"""The walks of `resources/read`, `prompts/get` and `completion/complete`, as that of a tool's call.

See, may, admit, hooks, upstream, hooks, settle. What is hidden is answered as what is not there.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from spindle_mcp.errands import completing, invoked, reading, rendering
from spindle_mcp.links import scoped_result
from spindle_mcp.surface.errors import UnknownResource, unknown_prompt
from spindle_mcp.surface.walk import (
    Aim,
    Lease,
    admitted,
    answered,
    asks_for_more,
    peer_for,
    silence_of,
)
from spindle_mcp.trace import traced
from spindle_mcp.upstream.base import Request
from spindle_mcp.upstream.faults import ResourceMissing
from spindle_spi.errors import GatewayError, NotFound
from spindle_spi.invocation import Complete, Invocation
from spindle_spi.payloads import lift_arguments, lift_contents, write_back
from spindle_spi.plugin import HookPhase
from spindle_spi.policy import Action, allow, permission_for
from spindle_spi.records import Kind, PromptSpec, Target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_mcp.errands import Errand
    from spindle_mcp.surface.calls import ToolRequest
    from spindle_mcp.surface.shown import Shown
    from spindle_mcp.surface.views import Place, View
    from spindle_mcp.surface.walk import InFlight
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

    def __init__(self, services: Services, fleet: Fleet, in_flight: InFlight) -> None:
        self._services = services
        self._catalog = services.catalog
        self._fleet = fleet
        self._in_flight = in_flight

    async def read(self, view: View, call: Call, request: ToolRequest) -> JsonObject:
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
        walk = _Walk(place.shown, Action.EXECUTE, {"uri": said}, unknown, errand)
        result = await self._carry_out(call, request, walk)
        return _as_shown(view, place.shown, result)

    async def render(self, view: View, call: Call, request: ToolRequest) -> JsonObject:
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
        walk = _Walk(shown, Action.EXECUTE, payload, unknown, errand)
        result = await self._carry_out(call, request, walk)
        return _as_shown(view, shown, result)

    async def complete(
        self, view: View, call: Call, ref: JsonObject, request: ToolRequest
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

        walk = _Walk(shown, Action.READ, request.arguments, unknown, errand)
        return await self._carry_out(call, request, walk)

    async def invoked(
        self,
        context: AuthenticatedContext,
        permit: Permit,
        request: ToolRequest,
        deadline: float | None,
    ) -> JsonObject:
        """Read or render for somebody else, who has admitted it and runs its hooks.

        Raises:
            GatewayError: The arguments are none, or the upstream failed.
        """
        errand = invoked(permit.record, request.arguments)

        if permit.record.kind is Kind.RESOURCE_TEMPLATE:
            uri, said = str(errand.params["uri"]), str(request.arguments["uri"])
            await check_open(self._catalog, self._fleet, context, errand.gateway, uri, said)

        with self._in_flight:
            result = await self._fetch(permit, errand, request, deadline)

        return scoped_result(errand.gateway, result)

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

    async def _carry_out(self, call: Call, request: ToolRequest, walk: _Walk) -> JsonObject:
        call = traced(call, request.traceparent)

        with self._in_flight:
            if not request.outlives:
                return await self._governed(call, request, walk, None)

            # The permit must not go with the HTTP exchange, which may end before the answer comes.
            async with Lease(self._services, call) as lease:
                return await self._governed(call, request, walk, lease)

    async def _governed(
        self, call: Call, request: ToolRequest, walk: _Walk, lease: Lease | None
    ) -> JsonObject:
        record = walk.shown.record
        target = Target(kind=record.kind, name=record.name)

        if not walk.shown.is_ours:
            return await self._delegate(call, walk, target, lease)

        return await admitted(
            self._catalog,
            call,
            Aim(target, walk.action, walk.unknown),
            lease,
            partial(self._answer, call, request, walk, lease),
        )

    async def _answer(  # the order of these steps is the policy of such a request
        self, call: Call, request: ToolRequest, walk: _Walk, lease: Lease | None, permit: Permit
    ) -> JsonObject:
        payload = walk.payload

        if permit.hooks.request:
            payload = await self._hooked(call, permit, HookPhase.PRE_FETCH, payload)

        try:
            result = await self._fetch(
                permit,
                await walk.errand(payload),
                replace(
                    request,
                    peer=peer_for(request.peer, permit, lease),
                    traceparent=call.context.trace.traceparent,
                ),
                call.deadline,
            )
        except ResourceMissing as exc:
            raise walk.unknown from exc

        if permit.hooks.answer:
            result = await self._judged(call, permit, result)

        return result

    async def _fetch(
        self, permit: Permit, errand: Errand, request: ToolRequest, deadline: float | None
    ) -> JsonObject:
        """Run an errand under a permit: what follows admission and hooks."""
        answer = await self._fleet.request(
            errand.gateway,
            Request(
                method=errand.method,
                params=errand.params,
                meta=request.meta,
                name=errand.name,
                silence=silence_of(permit),
                deadline=deadline,
                peer=request.peer,
                wants_progress=request.wants_progress,
                traceparent=request.traceparent,
            ),
        )
        return errand.read(answered(answer), errand.gateway)

    async def _delegate(
        self, call: Call, walk: _Walk, target: Target, lease: Lease | None
    ) -> JsonObject:
        """Have another module read or render what is its own."""
        try:
            result = await self._catalog.invoke(
                call.context,
                Invocation(
                    target=target,
                    action=walk.action,
                    arguments=walk.payload,
                    deadline=call.deadline,
                    depth=call.depth + 1,
                    lease_id=None if lease is None else lease.id,
                ),
            )
        except NotFound as exc:
            raise walk.unknown from exc

        if not isinstance(result, Complete):
            raise asks_for_more()

        return result.payload

    async def _hooked(
        self, call: Call, permit: Permit, phase: HookPhase, payload: JsonObject
    ) -> JsonObject:
        lift = lift_arguments if phase is HookPhase.PRE_FETCH else lift_contents
        before = lift(payload)
        after = await self._services.plugin.execute_hook(call.context, permit.id, phase, before)
        return write_back(payload, before, after)

    async def _judged(self, call: Call, permit: Permit, result: JsonObject) -> JsonObject:
        """Return a result with what plugins made of it, without what they were not shown."""
        completion = result.get("completion")

        if isinstance(completion, dict):
            values = completion.get("values")
            texts: list[Json] = (
                [{"text": value} for value in values] if isinstance(values, list) else []
            )
            shown: JsonObject = {"contents": texts}
            shown = await self._hooked(call, permit, HookPhase.POST_FETCH, shown)
            return {**result, "completion": {**completion, "values": _texts(shown)}}

        result = {name: value for name, value in result.items() if name != "description"}
        judged = await self._hooked(call, permit, HookPhase.POST_FETCH, result)
        return judged if judged is result else _addressed(result, judged)


class _Walk:
    """One request on its way."""

    __slots__ = ("action", "errand", "payload", "shown", "unknown")

    def __init__(
        self,
        shown: Shown,
        action: Action,
        payload: JsonObject,
        unknown: NotFound,
        errand: MakeErrand,
    ) -> None:
        self.shown = shown
        self.action = action
        self.payload = payload
        """What plugins are shown of the request; see `Invocation`."""
        self.unknown = unknown
        """The answer if it is hidden."""
        self.errand = errand
        """What to ask of the upstream, given the payload they left."""


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


def _as_shown(view: View, shown: Shown, result: JsonObject) -> JsonObject:
    if shown.is_bare or not shown.is_ours or shown.gateway is None:
        return result

    return scoped_result(shown.gateway, result, lambda uri: view.place_of(uri) is not None)


def _texts(shown: JsonObject) -> list[Json]:
    contents = shown.get("contents")
    parts = contents if isinstance(contents, list) else []
    return [part.get("text") for part in parts if isinstance(part, dict)]


def _addressed(before: JsonObject, after: JsonObject) -> JsonObject:
    """Give contents that a plugin replaced altogether the URI that they had."""
    old, new = before.get("contents"), after.get("contents")

    if not isinstance(old, list) or not isinstance(new, list):
        return after

    contents: list[Json] = [
        {"uri": was["uri"], "text": now.get("text")}
        if isinstance(was, dict) and isinstance(now, dict) and "uri" not in now
        else now
        for was, now in zip(old, new, strict=True)
    ]
    return {**after, "contents": contents}
