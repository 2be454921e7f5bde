"""One unary turn of a model: admit, pre-hooks, upstream, post-hooks, settle.

For everything that asks a model for a whole answer in the lingua franca: session chats, models as
tools, hooked requests. The raw relay, which never parses what it carries, is not built on it.
"""

from __future__ import annotations

import json
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from spindle_llm.relay.folding import Fold
from spindle_llm.relay.journal import Journal
from spindle_llm.relay.reasoning import without_stale_signatures
from spindle_llm.relay.wire_json import answer_too_deep, request_too_deep
from spindle_llm.runtime import Completion, Runtime, complete, stream
from spindle_spi.admission import Estimate, Permit, Status, TokenUsage
from spindle_spi.errors import GatewayError, Internal, PluginDenied, UpstreamError
from spindle_spi.payloads import lift_chat_answer, lift_chat_request, write_back
from spindle_spi.plugin import HookPhase
from spindle_spi.policy import Action
from spindle_spi.records import ModelSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import Target
    from spindle_spi.types import Json, JsonObject

    Hear = Callable[[JsonObject], Awaitable[None]]

_SETTLE_SECONDS = 5.0
"""How long a cancelled call may take to settle."""


async def take_turn(
    runtime: Runtime,
    context: AuthenticatedContext,
    target: Target,
    body: JsonObject,
    *,
    deadline: float | None = None,
    lease_id: str | None = None,
) -> Completion:
    """Ask a model for a whole answer, under a permit of its own that is settled here.

    Raises:
        NotFound: The model is absent or hidden.
        PermissionDenied: Visible, not permitted.
        RateLimited: A limit or a budget is exhausted, here or upstream.
        PluginDenied: A plugin refused request or answer.
        UpstreamError: The upstream failed.
    """
    turn = admitted(runtime, context, target, estimate_of(body), lease_id=lease_id)

    async with turn as (permit, journal):
        return await complete_hooked(
            runtime, context, permit, body, deadline=deadline, journal=journal
        )


@asynccontextmanager
async def admitted(
    runtime: Runtime,
    context: AuthenticatedContext,
    target: Target,
    estimate: Estimate,
    *,
    lease_id: str | None = None,
) -> AsyncGenerator[tuple[Permit, Journal]]:
    """Hold a permit for a call on a model, with its journal; it is settled however the call ends.

    Raises:
        NotFound: The model is absent or hidden.
        PermissionDenied: Visible, not permitted.
        RateLimited: A limit or a budget is exhausted.
    """
    catalog = runtime.services.catalog
    permit = await catalog.admit(context, target, Action.EXECUTE, estimate, lease_id=lease_id)
    journal = Journal()
    runtime.routes.begin(context, permit, target.name)
    runtime.routes.follow(permit, journal)

    try:
        yield permit, journal
    except BaseException as exc:
        journal.error_code = error_code_of(exc)

        with anyio.move_on_after(_SETTLE_SECONDS, shield=True):
            await catalog.settle(permit.id, journal.outcome(status_of(exc)))

        raise

    with anyio.move_on_after(_SETTLE_SECONDS, shield=True):
        await catalog.settle(permit.id, journal.outcome(Status.OK))


async def stream_hooked(
    runtime: Runtime,
    context: AuthenticatedContext,
    permit: Permit,
    body: JsonObject,
    *,
    deadline: float | None = None,
    journal: Journal | None = None,
) -> AsyncGenerator[JsonObject]:
    """Yield the chunks of an answer that no plugin has to judge; the caller settles.

    Raises:
        PluginDenied: A plugin refused the request.
        UpstreamError: The upstream failed, or cut its answer.
    """
    body = await hooked_request(runtime, context, permit, body)
    chunks = stream(runtime, context, permit, body, deadline=deadline, journal=journal)

    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk


async def folded(
    chunks: AsyncGenerator[JsonObject], journal: Journal, hear: Hear, limit: int
) -> Completion:
    """Return the whole answer of a stream of at most so many bytes, telling of every chunk.

    Raises:
        UpstreamError: It is longer, or the upstream failed.
    """
    fold = Fold()
    size = 0

    async with aclosing(chunks):
        async for chunk in chunks:
            fold.add(chunk)
            size += len(json.dumps(chunk.get("choices")))

            if size > limit:
                raise UpstreamError("The answer is too long.", code="upstream_too_long")

            await hear(chunk)

    return Completion(
        answer=fold.answer(),
        usage=journal.usage or TokenUsage(),
        attempts=journal.attempts,
        served_by=journal.served_by,
    )


def can_stream(permit: Permit) -> bool:
    """Tell whether an answer may be looked at before it is whole."""
    if permit.hooks.answer:
        return False

    spec = permit.record.spec
    return isinstance(spec, ModelSpec) and "streaming" in spec.supports


async def complete_hooked(
    runtime: Runtime,
    context: AuthenticatedContext,
    permit: Permit,
    body: JsonObject,
    *,
    deadline: float | None = None,
    journal: Journal | None = None,
) -> Completion:
    """Complete under a permit, carrying out its hook plan; the caller settles.

    Raises:
        PluginDenied: A plugin refused request or answer.
        UpstreamError: The upstream failed.
    """
    body = await hooked_request(runtime, context, permit, body)
    completion = await complete(runtime, context, permit, body, deadline=deadline, journal=journal)

    if not permit.hooks.answer:
        return completion

    answer = completion.answer
    plugin = runtime.services.plugin
    _drop_logprobs(answer)

    try:
        before = lift_chat_answer(answer)
        after = await plugin.execute_hook(context, permit.id, HookPhase.POST_INVOKE, before)
        hooked = write_back(answer, before, after)
        without_stale_signatures(_messages(answer), _messages(hooked))
        return replace(completion, answer=hooked)
    except RecursionError as exc:
        raise answer_too_deep() from exc


async def hooked_request(
    runtime: Runtime, context: AuthenticatedContext, permit: Permit, body: JsonObject
) -> JsonObject:
    """Return a request as the plugins of the permit leave it.

    Raises:
        PluginDenied: A plugin refused it.
    """
    if not permit.hooks.request:
        return body

    plugin = runtime.services.plugin

    try:
        before = lift_chat_request(body)
        after = await plugin.execute_hook(context, permit.id, HookPhase.PRE_INVOKE, before)
        hooked = write_back(body, before, after)
        without_stale_signatures(body.get("messages"), hooked.get("messages"))
        return hooked
    except RecursionError as exc:
        raise request_too_deep() from exc


def estimate_of(body: JsonObject) -> Estimate:
    """Return what a chat request may cost at most."""
    wanted = body.get("max_completion_tokens", body.get("max_tokens"))
    return Estimate(
        input_bytes=len(json.dumps(body)),
        max_output_tokens=_count(wanted),
        choices=_count(body.get("n")) or 1,
    )


def status_of(exc: BaseException) -> Status:
    """Return how a call that ended in this exception ended."""
    if isinstance(exc, PluginDenied):
        return Status.DENIED

    if isinstance(exc, anyio.get_cancelled_exc_class()):
        return Status.CANCELLED

    return Status.ERROR


def error_code_of(exc: BaseException) -> str | None:
    """Return the stable code of a failure; None when the call was only cancelled."""
    if isinstance(exc, GatewayError):
        return exc.code

    return None if status_of(exc) is Status.CANCELLED else Internal.default_code


def _messages(answer: JsonObject) -> Json:
    """Return the messages of an answer's choices."""
    choices = answer.get("choices")
    return [
        choice.get("message")
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, dict)
    ]


def _drop_logprobs(answer: JsonObject) -> None:
    """Take out log probabilities: they repeat the text token by token, and nobody judges them."""
    choices = answer.get("choices")

    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            choice["logprobs"] = None


def _count(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
