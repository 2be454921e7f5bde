"""GET /v1/models and /v1/models/{id}: the models this caller sees.

In OpenAI's form; in Anthropic's to a client that names a version of Anthropic's API.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING

from spindle_llm.relay.wire_json import encode
from spindle_llm.routing.names import model_names
from spindle_llm.surfaces.errors import model_not_found, send_error, send_json
from spindle_llm.surfaces.messages.models import listed_models, shown_model
from spindle_spi.errors import GatewayError, NotFound
from spindle_spi.records import Kind, ModelSpec, Target
from spindle_spi.shapes import ANTHROPIC, OPENAI

if TYPE_CHECKING:
    from spindle_llm.runtime import State
    from spindle_spi.ingress import Call
    from spindle_spi.records import CatalogRecord
    from spindle_spi.shapes import ErrorShape
    from spindle_spi.types import JsonObject, Receive, Scope, Send

_MAX_LISTS = 256
"""Lists kept ready; the one unused for longest goes first."""


class Models:
    """The handlers of both routes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lists: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        """By what is seen, and by the form."""

    async def list(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer with the caller's list; callers who see the same share its bytes."""
        del receive
        shape = _shape(scope)

        try:
            body = await self._listed(call, shape)
        except GatewayError as exc:
            await send_error(send, exc, call.request_id, shape=shape)
            return

        await send_json(send, body, call.request_id, shape=shape)

    async def get(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer with one model; its id is all that follows `/models/`."""
        del receive
        _, _, name = scope["path"].partition("/models/")
        shape = _shape(scope)

        try:
            record = await self._fetched(call, name)
        except NotFound:
            await send_error(send, model_not_found(name), call.request_id, shape=shape)
            return
        except GatewayError as exc:
            await send_error(send, exc, call.request_id, shape=shape)
            return

        shown = shown_model(record) if shape is ANTHROPIC else _shown(record)
        await send_json(send, encode(shown), call.request_id, shape=shape)

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

    async def _listed(self, call: Call, shape: ErrorShape) -> bytes:
        catalog = self._state.runtime.services.catalog
        # The key of the models alone: the call's own changes with every kind of record.
        key = (await catalog.view_key(call.context, Kind.MODEL), shape.name)
        body = self._lists.get(key)

        if body is not None:
            self._lists.move_to_end(key)
            return body

        page = await catalog.list(call.context, Kind.MODEL)
        body = encode(
            listed_models(page.records)
            if shape is ANTHROPIC
            else {"object": "list", "data": [_shown(record) for record in page.records]}
        )
        self._lists[page.view_key, shape.name] = body

        while len(self._lists) > _MAX_LISTS:
            self._lists.popitem(last=False)

        return body


def _shape(scope: Scope) -> ErrorShape:
    """Return the shape that a client reads."""
    is_other = any(name == b"anthropic-version" for name, _ in scope["headers"])
    return ANTHROPIC if is_other else OPENAI


def _shown(record: CatalogRecord) -> JsonObject:
    spec = record.spec
    created, owner = (spec.created, spec.provider) if isinstance(spec, ModelSpec) else (0, "")
    return {"id": record.name, "object": "model", "created": created, "owned_by": owner}
