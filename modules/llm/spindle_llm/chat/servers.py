"""Where a chat's tools come from: a virtual server of the catalog, or an address of the caller's.

Nothing is kept between turns: the server is looked up, and an address opened, for every request, so
that a change of visibility acts at once and any replica can serve any turn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from spindle_llm.chat.tools import Toolbox, toolbox
from spindle_spi.errors import InvalidArgument, PermissionDenied, Unavailable, Unsupported
from spindle_spi.invocation import close_iterator
from spindle_spi.policy import Action
from spindle_spi.records import CatalogRecord, GatewaySpec, Kind, ServerSpec, Target, ToolSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from spindle_llm.chat.wire import ServerChoice
    from spindle_spi.catalog import CatalogService, RecordChange
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.services import Services
    from spindle_spi.types import JsonObject


async def choose_server(
    services: Services, context: AuthenticatedContext, choice: ServerChoice | None
) -> JsonObject | None:
    """Return what a session keeps of its server; None for a chat without tools.

    Raises:
        InvalidArgument: A caller may not start programs, nor have us keep a token.
        NotFound: The server is absent or hidden.
        PermissionDenied: The caller sees it and may not use it.
    """
    if choice is None:
        return None

    if choice.transport == "stdio":
        raise InvalidArgument(
            "A caller may not start programs here: stdio is for the operator's gateways.",
            code="llm.chat.stdio_refused",
            param="server.transport",
        )

    if choice.auth_token:
        raise Unsupported(
            "Tokens for servers given by URL are not kept; register a gateway for this one.",
            code="llm.chat.auth_token_unsupported",
            param="server.auth_token",
        )

    if choice.url is not None:
        return {"url": choice.url, "transport": choice.transport or "streamable_http"}

    named = choice.slug or choice.name
    target = (
        Target(kind=Kind.SERVER, name=choice.id or "", by_id=True)
        if named is None
        else Target(kind=Kind.SERVER, name=named)
    )
    record = await _usable_server(services, context, target)
    return {"id": record.id}


async def open_tools(
    services: Services,
    context: AuthenticatedContext,
    server: JsonObject | None,
    *,
    timeout: float,  # noqa: ASYNC109 - the bound of one step inside, not of the call
) -> Toolbox:
    """Return the tools of a session's server, as this caller sees them now.

    Raises:
        NotFound: The server is absent or hidden.
        PermissionDenied: The caller may not use it, or not read tools.
        Unavailable: A server given by URL showed no tools in time.
    """
    if server is None:
        return Toolbox(context=context)

    url = server.get("url")

    if isinstance(url, str):
        transport = str(server.get("transport"))
        spec = GatewaySpec(transport=transport, url=url)
        return await _open_address(services.catalog, context, spec, timeout)

    target = Target(kind=Kind.SERVER, name=str(server.get("id")), by_id=True)
    record = await _usable_server(services, context, target)
    scope = replace(context.visibility_scope, server_id=record.id)
    narrowed = replace(context, visibility_scope=scope)
    page = await services.catalog.list(narrowed, Kind.TOOL)
    prefix_free = isinstance(record.spec, ServerSpec) and record.spec.prefix_free
    return toolbox(narrowed, page.records, prefix_free=prefix_free)


async def _usable_server(
    services: Services, context: AuthenticatedContext, target: Target
) -> CatalogRecord:
    decision = await services.auth.check_catalog_access(context, target, Action.USE)

    if not decision.allowed:
        raise PermissionDenied(f"This token may not use the server {target.name!r}.")

    return await services.catalog.fetch(context, target)


async def _open_address(
    catalog: CatalogService,
    context: AuthenticatedContext,
    spec: GatewaySpec,
    timeout: float,  # noqa: ASYNC109
) -> Toolbox:
    # Subscribed first, so that tools shown between opening and listing are not missed.
    changes = catalog.subscribe([Kind.TOOL])

    try:
        gateway = await catalog.open_gateway(context, spec)
        tools = await _tools_of(catalog, context, gateway)

        with anyio.move_on_after(timeout):
            while not tools:
                await _next_of(changes, gateway)
                tools = await _tools_of(catalog, context, gateway)
    finally:
        await close_iterator(changes)

    if not tools:
        raise Unavailable(
            "The server at the given URL cannot be reached, or it has no tools.",
            code="llm.chat.server_unreachable",
        )

    return toolbox(context, tools, prefix_free=True)


async def _next_of(changes: AsyncIterator[RecordChange], gateway: CatalogRecord) -> None:
    """Wait for a change of a gateway's tools."""
    async for change in changes:
        if _is_of(change.record, gateway):
            return


async def _tools_of(
    catalog: CatalogService, context: AuthenticatedContext, gateway: CatalogRecord
) -> tuple[CatalogRecord, ...]:
    page = await catalog.list(context, Kind.TOOL)
    return tuple(record for record in page.records if _is_of(record, gateway))


def _is_of(record: CatalogRecord, gateway: CatalogRecord) -> bool:
    return isinstance(record.spec, ToolSpec) and record.spec.gateway == gateway.name
