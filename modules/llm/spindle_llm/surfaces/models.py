"""GET /v1/models and /v1/models/{id}: the models this caller sees, in OpenAI's form."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from spindle_llm.relay.wire_json import encode
from spindle_llm.routing.names import model_names
from spindle_llm.surfaces.errors import model_not_found, send_error, send_json
from spindle_spi.errors import GatewayError, NotFound
from spindle_spi.records import Kind, ModelSpec, Target

if TYPE_CHECKING:
    from spindle_llm.runtime import State
    from spindle_spi.ingress import Call
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject, Receive, Scope, Send

_MAX_LISTS = 256
"""Lists kept ready; the one unused for longest goes first."""


class Models:
    """The handlers of both routes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lists: OrderedDict[str, bytes] = OrderedDict()

    async def list(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer with the caller's list; callers who see the same share its bytes."""
        del scope, receive

        try:
            body = await self._listed(call)
        except GatewayError as exc:
            await send_error(send, exc, call.request_id)
            return

        await send_json(send, body, call.request_id)

    async def get(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer with one model; its id is all that follows `/models/`."""
        del receive
        _, _, name = scope["path"].partition("/models/")

        try:
            record = await self._fetched(call, name)
        except NotFound:
            await send_error(send, model_not_found(name), call.request_id)
            return
        except GatewayError as exc:
            await send_error(send, exc, call.request_id)
            return

        await send_json(send, encode(_shown(record)), call.request_id)

    async def _fetched(self, call: Call, name: str) -> CatalogRecord:
        runtime = self._state.runtime
        *others, last = model_names(name, runtime.settings)

        for other in others:
            with suppress(NotFound):
                target = Target(kind=Kind.MODEL, name=other)
                return await runtime.services.catalog.fetch(call.context, target)

        return await runtime.services.catalog.fetch(
            call.context, Target(kind=Kind.MODEL, name=last)
        )

    async def _listed(self, call: Call) -> bytes:
        catalog = self._state.runtime.services.catalog
        # The key of the models alone: the call's own changes with every kind of record.
        key = await catalog.view_key(call.context, Kind.MODEL)
        body = self._lists.get(key)

        if body is not None:
            self._lists.move_to_end(key)
            return body

        page = await catalog.list(call.context, Kind.MODEL)
        body = encode({"object": "list", "data": [_shown(record) for record in page.records]})
        self._lists[page.view_key] = body

        while len(self._lists) > _MAX_LISTS:
            self._lists.popitem(last=False)

        return body


def _shown(record: CatalogRecord) -> JsonObject:
    spec = record.spec
    created, owner = (spec.created, spec.provider) if isinstance(spec, ModelSpec) else (0, "")
    return {"id": record.name, "object": "model", "created": created, "owned_by": owner}
