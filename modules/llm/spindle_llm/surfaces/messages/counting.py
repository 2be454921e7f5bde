"""POST /v1/messages/count_tokens: by the upstream where it counts, else by estimate."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio

from spindle_llm.providers.dialect import Encoded, Form
from spindle_llm.relay.journal import Journal
from spindle_llm.relay.reading import read_all
from spindle_llm.relay.wire_json import encode
from spindle_llm.routing.attempts import Ask, candidates, open_first
from spindle_llm.surfaces.admission import admitted
from spindle_llm.surfaces.errors import send_error, send_json
from spindle_llm.surfaces.judging import ClientGone, read_body
from spindle_llm.surfaces.messages.estimate import estimated_tokens
from spindle_llm.surfaces.messages.raw import own_headers
from spindle_llm.surfaces.messages.request import MessageRequest, edition_of
from spindle_llm.turn import error_code_of, hooked_request, status_of
from spindle_spi.admission import Status, TokenUsage
from spindle_spi.errors import GatewayError, Unsupported
from spindle_spi.plugin import HookPhase
from spindle_spi.records import ModelSpec, ProviderSpec
from spindle_spi.shapes import ANTHROPIC

if TYPE_CHECKING:
    from spindle_llm.providers.dialect import TokenCountDialect
    from spindle_llm.routing.attempts import Opened
    from spindle_llm.routing.upstreams import Upstream
    from spindle_llm.runtime import Runtime, State
    from spindle_spi.admission import Permit
    from spindle_spi.ingress import Call
    from spindle_spi.types import JsonObject, Receive, Scope, Send

ESTIMATED: Final = (b"x-spindle-estimated", b"true")
_SETTLE_SECONDS: Final = 5.0
_ANSWER_LIMIT: Final = 64 * 1024


class TokenCounts:
    """The handler of the route.

    A count is admitted and hooked like a chat, because what is counted goes to the provider; it
    settles with no tokens, because counting costs none.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Judge the request, have it admitted, count."""
        try:
            body = await read_body(receive)
            request = MessageRequest(body, edition=edition_of(scope), counting=True)
            runtime = self._state.runtime
            permit = await admitted(
                runtime, call, request.model, request.estimate, headers=scope["headers"]
            )
            tokens, is_estimate = await _counted(runtime, call, permit, request)
        except ClientGone:
            return
        except GatewayError as exc:
            await send_error(send, exc, call.request_id, shape=ANTHROPIC)
            return

        headers = (ESTIMATED,) if is_estimate else ()
        shown = encode({"input_tokens": tokens})
        await send_json(send, shown, call.request_id, headers, shape=ANTHROPIC)


async def _counted(
    runtime: Runtime,
    call: Call,
    permit: Permit,
    request: MessageRequest,
) -> tuple[int, bool]:
    """Return the tokens of an admitted request, and whether they are an estimate; settles it."""
    count = _Count(runtime, call, permit, request)
    settle = runtime.services.catalog.settle

    try:
        tokens, is_estimate = await count.tokens()
    except BaseException as exc:
        count.journal.error_code = error_code_of(exc)

        with anyio.move_on_after(_SETTLE_SECONDS, shield=True), suppress(GatewayError):
            await settle(permit.id, count.journal.outcome(status_of(exc)))

        raise

    with anyio.move_on_after(_SETTLE_SECONDS, shield=True):
        await settle(permit.id, count.journal.outcome(Status.OK))

    return tokens, is_estimate


class _Count:
    """One admitted count."""

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        permit: Permit,
        request: MessageRequest,
    ) -> None:
        self._runtime = runtime
        self._call = call
        self._permit = permit
        self._request = request
        self.journal = Journal()
        self.journal.usage = TokenUsage()

    async def tokens(self) -> tuple[int, bool]:
        """Return the tokens, and whether they are an estimate."""
        is_raw = not self._permit.hooks and self._asks(Form.ANTHROPIC)
        body = None if is_raw else await self._hooked()

        if is_raw or self._asks(None):
            return await self._asked(body), False

        return estimated_tokens(self._request.parsed() if body is None else body), True

    def _asks(self, form: Form | None) -> bool:
        """Tell whether every candidate counts; with a form, whether each speaks it, too."""
        adapter_of = self._runtime.upstreams.adapter

        for record, backend in candidates(self._permit):
            spec, provider = record.spec, backend.spec

            if not isinstance(spec, ModelSpec) or not isinstance(provider, ProviderSpec):
                return False

            adapter = adapter_of(provider)

            if adapter.token_count(provider) is None:
                return False

            if form and adapter.chat(provider, spec, ()).form is not form:
                return False

        return True

    async def _hooked(self) -> JsonObject:
        """Return the request as plugins leave it; of an answer there is nothing to be judged."""
        runtime, context, permit = self._runtime, self._call.context, self._permit
        body = await hooked_request(runtime, context, permit, self._request.parsed())

        if permit.hooks.answer:
            plugin = runtime.services.plugin
            await plugin.execute_hook(context, permit.id, HookPhase.POST_INVOKE, ())

        return body

    async def _asked(self, body: JsonObject | None) -> int:
        """Return what the upstream counts of a request; None stands for the client's own bytes."""

        def choose(spec: ModelSpec, upstream: Upstream) -> TokenCountDialect:
            del spec
            dialect = upstream.adapter.token_count(upstream.spec)

            if dialect is None:
                raise Unsupported("The provider of this model does not count tokens.")

            return dialect

        def write(dialect: TokenCountDialect, spec: ModelSpec, upstream: Upstream) -> Encoded:
            if body is not None:
                return dialect.encode({**body, "model": spec.upstream_name}, spec=spec)

            return Encoded(
                body=self._request.encoded(spec.upstream_name, {}),
                headers=own_headers(upstream, self._request.edition),
            )

        tokens = 0

        async def receive(opened: Opened[TokenCountDialect]) -> None:
            nonlocal tokens
            tokens = opened.dialect.decode(await read_all(opened.response, _ANSWER_LIMIT))
            self.journal.first_byte()

        ask = Ask(choose=choose, encode=write, receive=receive, deadline=self._call.deadline)
        opened = await open_first(self._runtime.upstreams, self._permit, ask, self.journal)
        await opened.aclose()
        return tokens
