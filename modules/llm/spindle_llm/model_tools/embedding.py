"""Vectors under a permit, its hook plan carried out; for requests that came by no surface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.embeddings.asking import asker_for
from spindle_llm.surfaces.embeddings_request import query_of
from spindle_spi.payloads import lift_embeddings_request, write_back
from spindle_spi.plugin import HookPhase

if TYPE_CHECKING:
    from spindle_llm.embeddings.cache import Kept
    from spindle_llm.relay.journal import Journal
    from spindle_llm.runtime import Runtime
    from spindle_spi.admission import Permit
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject


async def embed_hooked(
    runtime: Runtime,
    context: AuthenticatedContext,
    permit: Permit,
    request: JsonObject,
    journal: Journal,
    *,
    deadline: float | None = None,
) -> list[Kept]:
    """Return the vector of every input, in order; the caller settles.

    Raises:
        PluginDenied: A plugin refused the request.
        UpstreamError: The upstream failed, or sent other vectors than were asked for.
    """
    plugin = runtime.services.plugin

    if permit.hooks.request:
        before = lift_embeddings_request(request)
        after = await plugin.execute_hook(context, permit.id, HookPhase.PRE_INVOKE, before)
        request = write_back(request, before, after)

    query = query_of(request)
    asker = asker_for(runtime, context, permit, query, deadline=deadline)
    kept = await runtime.embeddings.vectors(asker, query.inputs, journal)

    if permit.hooks.answer:
        # There is no text in an answer of numbers: the phase is carried out on nothing.
        await plugin.execute_hook(context, permit.id, HookPhase.POST_INVOKE, ())

    return kept
