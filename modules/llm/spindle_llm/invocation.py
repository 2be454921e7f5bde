"""Calls on this module's records that come from other protocols: a model, a model as a tool.

The core has admitted and hooked the record that was called. A model as a tool is admitted once more
here, as the model it is, for the same caller and under the same lease.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from spindle_llm.embeddings.asking import asker_for
from spindle_llm.relay.journal import Journal
from spindle_llm.runtime import Runtime, complete, stream
from spindle_llm.surfaces.embeddings_request import query_of
from spindle_llm.turn import take_turn
from spindle_spi.errors import (
    ContractViolation,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unsupported,
)
from spindle_spi.invocation import Complete, Invocation, Result, StreamEvent, Streaming
from spindle_spi.records import Kind, ModelSpec, Target, ToolSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.admission import Permit
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import Json, JsonObject

_TOOL_ARGUMENTS = frozenset({"prompt", "system", "max_tokens"})


async def serve(runtime: Runtime, context: AuthenticatedContext, invocation: Invocation) -> Result:
    """Carry out a call the core admitted; `LlmModule.invoke` is this.

    Raises:
        InvalidArgument: The arguments are not a chat request, or not a prompt.
        FailedPrecondition: The model behind a tool is not there for this caller.
        UpstreamError: The upstream failed.
        Unsupported: The record is of a kind this module does not serve.
    """
    permit = invocation.permit

    if permit is None:
        raise ContractViolation("The call carries no permit.", code="llm.invoke.no_permit")

    match permit.record.spec:
        case ToolSpec(model=str(model)):
            return await _ask(runtime, context, invocation, permit, model)
        case ModelSpec():
            return await _relay(runtime, context, invocation, permit)
        case _:
            kind = permit.record.kind.value
            raise Unsupported(f"The LLM module serves no {kind} {permit.record.name!r}.")


async def _ask(
    runtime: Runtime,
    context: AuthenticatedContext,
    invocation: Invocation,
    permit: Permit,
    model: str,
) -> Complete:
    """Ask a model as a tool; its tokens are counted on the model's permit, not on the tool's."""
    body = _chat_request(invocation.arguments)

    try:
        completion = await take_turn(
            runtime,
            context,
            Target(kind=Kind.MODEL, name=model),
            body,
            deadline=invocation.deadline,
            lease_id=invocation.lease_id or permit.lease_id,
        )
    except NotFound as exc:
        # The model's own message would name a record this caller may not know of.
        raise FailedPrecondition(
            f"The tool {permit.record.name!r} cannot be used: its model is not available.",
            code="llm.model_tool.unavailable",
        ) from exc

    return Complete(payload={"content": [{"type": "text", "text": text_of(completion.answer)}]})


async def _relay(
    runtime: Runtime, context: AuthenticatedContext, invocation: Invocation, permit: Permit
) -> Result:
    body = invocation.arguments

    if "input" in body and "messages" not in body:
        return await _embed(runtime, context, invocation, permit)

    messages = body.get("messages")

    if not isinstance(messages, list) or not messages:
        raise InvalidArgument("messages must be a list that is not empty.", param="messages")

    journal, deadline = Journal(stream=invocation.stream), invocation.deadline
    runtime.routes.begin(context, permit, invocation.target.name)
    runtime.routes.follow(permit, journal)

    if invocation.stream:
        chunks = stream(runtime, context, permit, body, deadline=deadline, journal=journal)
        return Streaming(_events(chunks))

    completion = await complete(runtime, context, permit, body, deadline=deadline, journal=journal)
    return Complete(payload=completion.answer, usage=completion.usage)


async def _embed(
    runtime: Runtime, context: AuthenticatedContext, invocation: Invocation, permit: Permit
) -> Complete:
    journal, query = Journal(), query_of(invocation.arguments)
    asker = asker_for(runtime, context, permit, query, deadline=invocation.deadline)
    kept = await runtime.embeddings.vectors(asker, query.inputs, journal)
    data: list[Json] = [
        {"object": "embedding", "index": index, "embedding": [*entry.vector.numbers]}
        for index, entry in enumerate(kept)
    ]
    payload: JsonObject = {"object": "list", "data": data, "model": permit.record.name}
    return Complete(payload=payload, usage=journal.usage)


async def _events(chunks: AsyncGenerator[JsonObject]) -> AsyncGenerator[StreamEvent]:
    async with aclosing(chunks):
        async for chunk in chunks:
            yield StreamEvent(payload=chunk)


def text_of(answer: JsonObject) -> str:
    """Return the text of an answer's first choice, or its refusal."""
    message = message_of(answer)
    text = message.get("content") or message.get("refusal")
    return text if isinstance(text, str) else ""


def message_of(answer: JsonObject) -> JsonObject:
    """Return the message of an answer's first choice; empty when there is none."""
    choices = answer.get("choices")
    first: Json = choices[0] if isinstance(choices, list) and choices else None
    message: Json = first.get("message") if isinstance(first, dict) else None
    return message if isinstance(message, dict) else {}


def _chat_request(arguments: JsonObject) -> JsonObject:
    unknown = sorted(arguments.keys() - _TOOL_ARGUMENTS)

    if unknown:
        raise InvalidArgument(f"Unknown argument {unknown[0]!r}.", param=unknown[0])

    messages: list[Json] = []
    system = arguments.get("system")

    if system is not None:
        messages.append({"role": "system", "content": _text("system", system)})

    messages.append({"role": "user", "content": _text("prompt", arguments.get("prompt"))})
    body: JsonObject = {"messages": messages}
    limit = arguments.get("max_tokens")

    if limit is not None:
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise InvalidArgument("max_tokens must be a positive integer.", param="max_tokens")

        body["max_tokens"] = limit

    return body


def _text(name: str, value: Json) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidArgument(f"{name} must be a text that is not empty.", param=name)

    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgument(f"{name} has half of a surrogate pair in it.", param=name) from exc

    return value
