"""Calls on this module's records that come from other protocols: a model, a model as a tool.

The core has admitted and hooked the record that was called. A model as a tool is admitted once more
here, as the model it is, for the same caller and under the same lease.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from spindle_llm.embeddings.asking import asker_for
from spindle_llm.model_tools.asking import ask
from spindle_llm.relay.journal import Journal
from spindle_llm.runtime import Runtime, complete, stream
from spindle_llm.surfaces.embeddings_request import query_of
from spindle_spi.errors import (
    ContractViolation,
    InvalidArgument,
    Unsupported,
)
from spindle_spi.invocation import Complete, Invocation, Result, StreamEvent, Streaming
from spindle_spi.records import ModelSpec, ToolSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_spi.admission import Permit
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.invocation import ProgressSink
    from spindle_spi.types import Json, JsonObject


async def serve(
    runtime: Runtime,
    context: AuthenticatedContext,
    invocation: Invocation,
    progress: ProgressSink | None = None,
) -> Result:
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
        case ToolSpec(model=str()) as spec:
            return await ask(runtime, context, invocation, permit, spec, progress)
        case ModelSpec():
            return await _relay(runtime, context, invocation, permit)
        case _:
            kind = permit.record.kind.value
            raise Unsupported(f"The LLM module serves no {kind} {permit.record.name!r}.")


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
