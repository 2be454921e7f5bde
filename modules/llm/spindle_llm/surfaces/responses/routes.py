"""The handlers of /v1/responses: create, read, cancel and delete, each caller their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import anyio

from spindle_llm.relay.journal import Journal
from spindle_llm.relay.wire_json import encode
from spindle_llm.surfaces.admission import admitted
from spindle_llm.surfaces.chat_parsed import carry_answer, carry_stream
from spindle_llm.surfaces.errors import send_error, send_json
from spindle_llm.surfaces.exchange import Exchange
from spindle_llm.surfaces.judging import ClientGone, invalid, read_body
from spindle_llm.surfaces.responses.background import Background
from spindle_llm.surfaces.responses.form import ResponseForm
from spindle_llm.surfaces.responses.request import parse_response
from spindle_llm.surfaces.responses.store import (
    ResponseStore,
    can_keep,
    new_response_id,
    not_found,
)
from spindle_llm.surfaces.serving import conclude
from spindle_spi.errors import FailedPrecondition, GatewayError, Unsupported
from spindle_spi.ingress import IngressRoute
from spindle_spi.shapes import OPENAI

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_llm.runtime import Runtime, State
    from spindle_llm.surfaces.responses.request import ResponseRequest
    from spindle_llm.surfaces.responses.store import StoredResponse
    from spindle_spi.ingress import Call
    from spindle_spi.types import JsonObject, Receive, Scope, Send

_PREFIX = "/v1/responses"
_WRITING_SECONDS = 5.0
_MOST_LISTED = 100


class Responses:
    """The handlers of the routes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._background = Background()

    def routes(self) -> tuple[IngressRoute, ...]:
        """Return the routes."""
        one = f"{_PREFIX}/{{id}}"
        return tuple(
            IngressRoute(
                method=method, path=path, permission=permission, handler=handler, errors=OPENAI
            )
            for method, path, permission, handler in (
                ("POST", _PREFIX, "llm.invoke", self.create),
                ("GET", one, "llm.read", self.retrieve),
                ("DELETE", one, "llm.invoke", self.delete),
                ("POST", f"{one}/cancel", "llm.invoke", self.cancel),
                ("GET", f"{one}/input_items", "llm.read", self.input_items),
            )
        )

    async def create(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer `POST /v1/responses`."""
        try:
            runtime = self._state.runtime
            request = await self._request(runtime, call, await read_body(receive))
            request = replace(request, headers=tuple(scope["headers"]))
            form = ResponseForm(request, new_response_id())

            if request.background:
                store = _store(runtime)
                await self._background.start(runtime, call, request, form, store)
                await send_json(send, encode(form.shown()), call.request_id)
                return

            # Refused before it is admitted, where it can be: that costs nobody anything.
            request.parsed()
            permit = await admitted(
                runtime, call, request.model, request.estimate, headers=request.headers
            )
        except ClientGone:
            return
        except GatewayError as exc:
            await send_error(send, exc, call.request_id)
            return

        journal = Journal(stream=request.stream)
        exchange = Exchange(runtime, call, permit, request, form, journal, (receive, send))
        await conclude(exchange, self._respond(exchange, request, form))

    async def retrieve(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer `GET /v1/responses/{id}`."""
        del receive

        async def answer(store: ResponseStore, query: dict[str, str]) -> JsonObject:
            if query.get("stream", "false") != "false":
                raise Unsupported(
                    "A stored response is not streamed; ask for it whole.",
                    code="llm.parameter.unsupported",
                    param="stream",
                )

            return (await store.find(call.context, _id_of(scope))).shown

        await self._answer(scope, send, call, answer)

    async def delete(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer `DELETE /v1/responses/{id}`."""
        del receive

        async def answer(store: ResponseStore, query: dict[str, str]) -> JsonObject:
            del query
            response_id = _id_of(scope)
            self._background.cancel((await store.find(call.context, response_id)).id)
            await store.delete(call.context, response_id)
            return {"id": response_id, "object": "response", "deleted": True}

        await self._answer(scope, send, call, answer)

    async def cancel(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer `POST /v1/responses/{id}/cancel`; one that is over stays as it is."""
        del receive

        async def answer(store: ResponseStore, query: dict[str, str]) -> JsonObject:
            del query
            stored = await store.find(call.context, _id_of(scope))

            if not stored.shown.get("background"):
                raise FailedPrecondition(
                    "Only a response in the background can be cancelled.",
                    code="llm.response.not_background",
                )

            if stored.is_over:
                return stored.shown

            await store.cancel(call.context, stored.session)
            self._background.cancel(stored.id)
            return {**stored.shown, "status": "cancelled"}

        await self._answer(scope, send, call, answer)

    async def input_items(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer `GET /v1/responses/{id}/input_items`."""
        del receive

        async def answer(store: ResponseStore, query: dict[str, str]) -> JsonObject:
            stored = await store.find(call.context, _id_of(scope, "/input_items"))
            return _page(stored, query)

        await self._answer(scope, send, call, answer)

    async def _answer(
        self,
        scope: Scope,
        send: Send,
        call: Call,
        answer: Callable[[ResponseStore, dict[str, str]], Awaitable[JsonObject]],
    ) -> None:
        try:
            query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
            body = encode(await answer(_store(self._state.runtime), query))
        except GatewayError as exc:
            await send_error(send, exc, call.request_id)
            return

        await send_json(send, body, call.request_id)

    async def _request(self, runtime: Runtime, call: Call, body: bytes) -> ResponseRequest:
        """Return a request that is judged, with what it goes on from.

        Raises:
            InvalidArgument: It breaks a rule.
            NotFound: What it goes on from is absent, or a stranger's.
        """
        request = parse_response(body)

        if request.previous_id is not None:
            stored = await _store(runtime).find(call.context, request.previous_id)

            if not stored.is_over:
                raise FailedPrecondition(
                    "The response to go on from is not complete.",
                    code="llm.response.incomplete",
                    param="previous_response_id",
                )

            before = stored.messages
            size = len(encode({"messages": before}))
            estimate = replace(request.estimate, input_bytes=request.estimate.input_bytes + size)
            request = replace(request, before=before, estimate=estimate)

        if request.store and not can_keep(call.context):
            request = replace(request, store=False, background=False)

        return request

    async def _respond(
        self, exchange: Exchange, request: ResponseRequest, form: ResponseForm
    ) -> None:
        store, context = _store(exchange.runtime), exchange.call.context

        async def keep() -> None:
            if request.store:
                await store.keep(context, request, form, request.messages())

        exchange.on_settled = keep

        try:
            await (carry_stream(exchange) if request.stream else carry_answer(exchange))
        except GatewayError as exc:
            if exchange.sink.is_open and not form.is_over:
                # Its id is known to the client, who may ask what became of it.
                form.fail(exc)

                with anyio.move_on_after(_WRITING_SECONDS, shield=True):
                    await keep()

            raise


def _store(runtime: Runtime) -> ResponseStore:
    return ResponseStore(runtime.services.session_event, ttl=runtime.settings.responses_ttl_seconds)


def _id_of(scope: Scope, tail: str = "") -> str:
    path: str = scope["path"]
    rest = path.removeprefix(f"{_PREFIX}/")
    name, _, _ = rest.partition("/")
    return name if name else rest.removesuffix(tail)


def _page(stored: StoredResponse, query: dict[str, str]) -> JsonObject:
    order, limit = query.get("order", "desc"), query.get("limit", "20")

    if order not in ("asc", "desc"):
        raise invalid("order", "must be asc or desc")

    if not limit.isdecimal() or not 1 <= int(limit) <= _MOST_LISTED:
        raise invalid("limit", f"must be 1 to {_MOST_LISTED}")

    items = stored.input if order == "asc" else stored.input[::-1]
    after = query.get("after")

    if after is not None:
        ids = [item.get("id") for item in items]

        if after not in ids:
            raise not_found(after)

        items = items[ids.index(after) + 1 :]

    page = items[: int(limit)]
    return {
        "object": "list",
        "data": [*page],
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > len(page),
    }
