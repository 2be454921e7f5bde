"""GET /v1/models and /v1/models/{id}: the models this caller sees.

In OpenAI's form; in Anthropic's to a client that names a version of Anthropic's API.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

from spindle_llm.relay.wire_json import encode
from spindle_llm.routing.names import model_names
from spindle_llm.surfaces.errors import model_not_found, send_error, send_json
from spindle_llm.surfaces.messages.models import listed_models, shown_model
from spindle_llm.surfaces.model_entity import SERVING
from spindle_spi.errors import GatewayError, NotFound
from spindle_spi.policy import visible
from spindle_spi.records import Kind, ModelSpec, ProviderSpec, Target
from spindle_spi.shapes import ANTHROPIC, OPENAI

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_llm.runtime import State
    from spindle_spi.ingress import Call
    from spindle_spi.records import CatalogRecord
    from spindle_spi.shapes import ErrorShape
    from spindle_spi.types import Json, JsonObject, Receive, Scope, Send

_MAX_LISTS = 256
"""Lists kept ready; the one unused for longest goes first."""


class _Standing(NamedTuple):
    """How a provider is, for one caller."""

    kind: str | None
    """Its type; None for who does not see it."""
    is_up: bool


_Key: TypeAlias = tuple[str, tuple[tuple[str, _Standing], ...], str | None, str]
"""What a list depends on: who looks, how the providers are, what was filtered, and the form."""


class Models:
    """The handlers of both routes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lists: OrderedDict[_Key, bytes] = OrderedDict()

    async def list(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer with the caller's list; callers who see the same share its bytes."""
        del receive
        shape = _shape(scope)

        try:
            query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
            body = await self._listed(call, query.get("provider"), shape)
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

        if shape is ANTHROPIC:
            shown = shown_model(record)
        else:
            shown = _shown(record, await self._standing(call))

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

    async def _standing(self, call: Call) -> dict[str, _Standing]:
        """Return how the providers are, by name."""
        runtime = self._state.runtime
        records = await runtime.services.catalog.owned("llm", Kind.PROVIDER)
        return {
            record.name: _Standing(
                record.spec.provider_type if visible(call.context, record) else None,
                runtime.health.of(record.id).is_healthy,
            )
            for record in records
            if isinstance(record.spec, ProviderSpec)
        }

    async def _listed(self, call: Call, provider: str | None, shape: ErrorShape) -> bytes:
        catalog = self._state.runtime.services.catalog
        await catalog.catch_up()
        # The key of the models alone: the call's own changes with every kind of record.
        standing = await self._standing(call)
        how = tuple(standing.items())
        key = (await catalog.view_key(call.context, Kind.MODEL), how, provider, shape.name)
        body = self._lists.get(key)

        if body is not None:
            self._lists.move_to_end(key)
            return body

        page = await catalog.list(call.context, Kind.MODEL)
        records = [
            record
            for record in page.records
            if provider is None or _provider_of(record) == provider
        ]

        if shape is ANTHROPIC:
            body = encode(listed_models(records))
        else:
            data: list[Json] = [_shown(record, standing) for record in records]
            body = encode({"object": "list", "data": data})

        self._lists[page.view_key, how, provider, shape.name] = body

        while len(self._lists) > _MAX_LISTS:
            self._lists.popitem(last=False)

        return body


def _provider_of(record: CatalogRecord) -> str:
    return record.spec.provider if isinstance(record.spec, ModelSpec) else ""


def _shape(scope: Scope) -> ErrorShape:
    """Return the shape that a client reads."""
    is_other = any(name == b"anthropic-version" for name, _ in scope["headers"])
    return ANTHROPIC if is_other else OPENAI


def _shown(record: CatalogRecord, standing: Mapping[str, _Standing]) -> JsonObject:
    """Return a model in OpenAI's form, with what the requirement's `ModelSpec` says beside it."""
    spec = record.spec

    if not isinstance(spec, ModelSpec):
        return {"id": record.name, "object": "model", "created": 0, "owned_by": ""}

    provider = standing.get(spec.provider)
    flags: list[Json] = [*spec.supports]
    return {
        "id": record.name,
        "object": "model",
        "created": spec.created,
        "owned_by": spec.provider,
        "provider": spec.provider,
        "provider_type": None if provider is None else provider.kind,
        "context_window": spec.context_window,
        "max_tokens": spec.max_output_tokens,
        "feature_flags": flags,
        "is_available": provider is not None and provider.is_up and spec.state in SERVING,
    }
