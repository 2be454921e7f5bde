"""One unary turn of a model: admit, pre-hooks, upstream, post-hooks, settle.

For everything that asks a model for a whole answer in the lingua franca: session chats, models as
tools, hooked requests. The raw relay, which never parses what it carries, is not built on it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from spindle_llm.relay.journal import Journal
from spindle_llm.relay.reasoning import without_stale_signatures
from spindle_llm.relay.wire_json import answer_too_deep, request_too_deep
from spindle_llm.runtime import Completion, Runtime, complete
from spindle_spi.admission import Estimate, Permit, Status
from spindle_spi.errors import GatewayError, Internal, PluginDenied
from spindle_spi.payloads import lift_chat_answer, lift_chat_request, write_back
from spindle_spi.plugin import HookPhase
from spindle_spi.policy import Action

if TYPE_CHECKING:
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import Target
    from spindle_spi.types import Json, JsonObject

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
    catalog = runtime.services.catalog
    permit = await catalog.admit(
        context, target, Action.EXECUTE, estimate_of(body), lease_id=lease_id
    )
    journal = Journal()
    runtime.routes.begin(context, permit, target.name)
    runtime.routes.follow(permit, journal)

    try:
        completion = await complete_hooked(
            runtime, context, permit, body, deadline=deadline, journal=journal
        )
    except BaseException as exc:
        journal.error_code = error_code_of(exc)

        with anyio.move_on_after(_SETTLE_SECONDS, shield=True):
            await catalog.settle(permit.id, journal.outcome(status_of(exc)))

        raise

    with anyio.move_on_after(_SETTLE_SECONDS, shield=True):
        await catalog.settle(permit.id, journal.outcome(Status.OK))

    return completion


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
